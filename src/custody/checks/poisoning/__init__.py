"""Checks for training data that was tampered with on purpose."""

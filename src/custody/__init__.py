"""Custody keeps the chain of custody of machine-learning models."""

"""Measuring: one file, one question. A check sees its target and nothing more."""

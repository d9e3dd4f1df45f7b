"""Checks of a model at work: what comes in, what goes out, how well it does."""

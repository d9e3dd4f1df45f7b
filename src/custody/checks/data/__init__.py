"""Checks of the data a model is trained and judged on."""

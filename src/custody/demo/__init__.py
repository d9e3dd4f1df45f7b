"""The demonstration: a simulated bank, one honest life of a model, and one planted fault at a time."""

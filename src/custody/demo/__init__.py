"""The demonstration: a simulated bank, its model's honest life, and planted faults, each of them caught."""

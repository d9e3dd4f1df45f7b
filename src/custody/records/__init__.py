"""Reading the record: datasets, results, models and what descends from what. Derived, never stored."""

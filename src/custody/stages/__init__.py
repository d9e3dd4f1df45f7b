"""What happens in a model's life: one file for each stage, meeting on the ledger and nowhere else."""

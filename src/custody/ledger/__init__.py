"""The append-only log: RFC 6962 tree, signed checkpoints, one linear history."""

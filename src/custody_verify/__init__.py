"""An independent check of what Custody claims, in the standard library alone; read `ledger`, `rules`, `audit`."""

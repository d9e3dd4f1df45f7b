"""An independent check of what Custody claims: the standard library only, nothing of Custody.

Read in this order: `strict`, `curves`, `ledger` (steps 1 to 5), `vocabulary`, `criteria` and `rules` (step 6), `audit`.
"""

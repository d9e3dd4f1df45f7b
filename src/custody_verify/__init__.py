"""An independent check of what Custody claims: the standard library only, nothing of Custody.

Reading order: `strict` (one reading of JSON, or none), `curves` (signatures), `ledger` (steps 1 to 5),
`vocabulary` (who may say what), `criteria` and `rules` (step 6, the judgement), `audit` (steps 6 to 8),
`__main__` (the command).
"""

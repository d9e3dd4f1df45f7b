"""The nouns of Custody, its access rules and its gate. Standard library only, no I/O, no clock."""

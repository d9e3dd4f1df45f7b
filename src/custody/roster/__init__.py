"""Who is on record, replayed from the ledger: names, keys, roles, and what was taken back.

`docs/reference/roster.md` states each rule in words; `custody_verify` implements the same rules a second
time, independently.
"""

from custody.roster.book import Book, Holder, read_actor
from custody.roster.replay import Pending, Roster
from custody.roster.rights import Emergency, Grant, Rights

__all__ = ["Book", "Emergency", "Grant", "Holder", "Pending", "Rights", "Roster", "read_actor"]

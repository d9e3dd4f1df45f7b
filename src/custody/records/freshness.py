"""How fresh a ledger is, honestly: witnessed, consistent with what was seen before, or unproven.

A ledger proves its own order and that nothing in it was changed. It cannot prove that this is all of it: an
old copy verifies as well as the newest. Only somebody who saw it before can tell: a witness outside, or
this very client. On first contact without a witness nobody can, and no answer may read as if somebody could.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from custody.core import predicates as kinds
from custody.core.evidence import Record
from custody.core.moments import moment
from custody.core.strictjson import b64decode
from custody.ledger.anchor import Anchor, read_anchor
from custody.ledger.checkpoint import cosignatures
from custody.ledger.log import Reading

FRESH_DAYS = 7
"""How old a witness's word may be and still count: whoever shows an old copy could hide what came since."""
_AHEAD = timedelta(minutes=5)
"""How far a witness's clock may run before the reader's."""
UNPROVEN = "freshness unproven"


@dataclass(frozen=True)
class Freshness:
    """What is known of a ledger's freshness, as one sentence and in parts.

    `state` is "witnessed", "consistent" or "unproven". `names` and `at` (ISO 8601) tell of the witnesses who
    signed the checkpoint of `size` entries, also where that was too few or too long ago. `needed` is the
    quorum of the trust root.
    """

    state: str
    sentence: str
    needed: int = 0
    names: tuple[str, ...] = ()
    size: int = 0
    at: str = ""

    @property
    def proven(self) -> bool:
        """Tell whether somebody outside this ledger can tell that it was not cut short."""
        return self.state != "unproven"

    @property
    def enough(self) -> bool:
        """Tell whether this is as much as the trust root asks for: with a quorum, unproven is not."""
        return self.proven or not self.needed

    def to_json(self) -> dict[str, object]:
        """Return the parts for an answer in JSON."""
        return {"state": self.state, "sentence": self.sentence, "witnesses": list(self.names), "size": self.size}


NOT_PROVEN = Freshness("unproven", UNPROVEN)


def assess(
    entries: int,
    seen: int | None,
    witnessed: Iterable[tuple[int, Mapping[str, int]]],
    quorum: int,
    at: str,
    expires: str = "",
) -> Freshness:
    """Turn what is known into one of three sentences.

    `entries` is the ledger's size, `seen` how many of them this client saw before (None on first contact),
    `witnessed` the sizes that witnesses of the trust root validly signed, each with the names and moments
    (seconds since 1970), `at` the present, `expires` when the trust root ends ("" never). A quorum of 0 asks
    for no witness, but one is needed to call a ledger witnessed.
    """
    now = moment(at)
    ended = bool(expires) and (now is None or (end := moment(expires)) is None or end <= now)
    best: tuple[int, tuple[str, ...], datetime] | None = None
    stale = ""
    for size, signed in witnessed:
        if not 0 < size <= entries or now is None:
            continue
        past = {name: datetime.fromtimestamp(when, UTC) for name, when in signed.items() if when <= _latest(now)}
        if len(past) < max(1, quorum):
            continue
        # As old as its oldest word that the quorum needs: later words of fewer witnesses do not renew it.
        when = sorted(past.values(), reverse=True)[max(1, quorum) - 1]
        if best is None or (size, when) > (best[0], best[2]):
            best = (size, tuple(sorted(past)), when)
    if best is not None and now is not None:
        size, names, when = best
        told = f"witnessed by {', '.join(names)} at {when.isoformat()} (size {size})"
        if when + timedelta(days=FRESH_DAYS) > now and not ended:
            return Freshness("witnessed", told, quorum, names, size, when.isoformat())
        stale = f": last {told}"
    parts = (quorum, *(best[1::-1] if best else ((), 0)), best[2].isoformat() if best else "")
    if ended:
        return Freshness("unproven", f"{UNPROVEN}: the trust root ended at {expires}", *parts)
    if seen is not None:
        return Freshness("consistent", f"consistent with the {seen} entries seen before", *parts)
    return Freshness("unproven", UNPROVEN + stale, *parts)


def _latest(now: datetime) -> float:
    return (now + _AHEAD).timestamp()


def anchors(record: Record, reading: Reading) -> list[Anchor]:
    """Return the anchors that are of this ledger and were signed by a key that still counts, in order."""
    origin = reading.checkpoint.origin
    found = [
        read_anchor(entry.index, entry.predicate, origin, reading.frontiers)
        for entry in record.of_kind(kinds.ANCHOR)
        if entry.index not in record.void
    ]
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class Eyes:
    """Whom the newest trust root names as witnesses (name to raw Ed25519 key), how many of them it asks for,
    and when it ends ("" never)."""

    witnesses: Mapping[str, bytes] = field(default_factory=dict)
    quorum: int = 0
    expires: str = ""


def eyes_of(record: Record) -> Eyes:
    """Return what the newest trust root on record says of witnesses; version 1, which is not, names none."""
    roots = record.of_kind(kinds.TRUST_ROOT)
    if not roots:
        return Eyes()
    said = roots[-1].predicate
    witnesses = {str(item["name"]): b64decode(item["key"], what="witness key") for item in said["witnesses"]}
    return Eyes(witnesses, int(said["quorum"]), str(said["expires"]))


def freshness(record: Record, reading: Reading, at: str) -> Freshness:
    """Judge a verified ledger: its newest checkpoint and its anchors, by the newest root's witnesses and quorum."""
    eyes = eyes_of(record)
    witnessed = [(reading.checkpoint.size, cosignatures(reading.note, eyes.witnesses))]
    witnessed += [(one.checkpoint.size, one.cosigned(eyes.witnesses)) for one in anchors(record, reading)[-8:]]
    seen = reading.seen if reading.fresh else None
    return assess(reading.checkpoint.size, seen, witnessed, eyes.quorum, at, eyes.expires)

"""Anchoring: show the newest checkpoint to outside eyes, put their word on record, and cover that as well.

Whoever holds the log's key and its disk can write another history. They cannot make a witness sign two of
them, and they cannot move a time stamp. So: (1) ask every witness for a cosignature of the newest checkpoint,
proving that it contains all they saw before, and every authority for a time stamp; (2) the trust root's
quorum decides whether that is enough; (3) write it down as an ANCHOR; (4) ask once more, so that the entry
that says so, and with it the newest checkpoint, is witnessed too.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.strictjson import b64decode
from custody.core.subject import Subject
from custody.desk import CUSTODIAN, Desk
from custody.errors import CustodyError, InvalidInput, OutOfOrder, Tampered, Unavailable, Unknown
from custody.ledger.checkpoint import (
    Checkpoint,
    cosignatures,
    open_checkpoint,
    read_checkpoint,
    read_size,
    with_cosignatures,
)
from custody.ledger.log import Moved, Reading
from custody.ledger.merkle import prove_consistency
from custody.ledger.note import Note, Signature, parse_note, parse_signatures
from custody.ledger.witness import SIZE, Answer, Request

Asked = TypeVar("Asked")
Told = TypeVar("Told")

_TURNS = 4
"""How often one witness is asked again when it moves on meanwhile."""


class Eye(Protocol):
    """A witness that can be asked."""

    @property
    def url(self) -> str:
        """Return where it is, to name it by."""

    def ask(self, request: Request) -> Answer:
        """Send one request; raises `Unavailable` when no answer comes in time."""


class Authority(Protocol):
    """A time-stamping authority that can be asked."""

    @property
    def url(self) -> str:
        """Return where it is, to name it by."""

    def stamp(self, body: bytes) -> bytes:
        """Return the TimeStampResp for `body`; raises `Unavailable`."""


@dataclass(frozen=True)
class Panel:
    """The outside eyes of a ledger, and what its trust root makes of them.

    `witnesses` maps the names in the trust root to raw Ed25519 keys; nobody else's cosignature counts.
    """

    witnesses: Mapping[str, bytes] = field(default_factory=dict)
    quorum: int = 0
    eyes: Sequence[Eye] = ()
    authorities: Sequence[Authority] = ()


@dataclass(frozen=True)
class Outcome:
    """What one outsider did: state is signed, silent, refused or conflict; `reason` says it in words."""

    url: str
    state: str
    reason: str
    lines: tuple[Signature, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anchored:
    """An anchor on record: its entry, who signed it when (seconds since 1970), what everybody did.

    `covered` names those who signed the newest checkpoint as well, the one with the anchor itself in it.
    """

    entry: Evidence
    checkpoint: Checkpoint
    cosigned: Mapping[str, int]
    stamped: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    covered: tuple[str, ...]


def anchor(desk: Desk, panel: Panel, notes: Sequence[str] = ()) -> Anchored:
    """Anchor the newest checkpoint; `notes` are cosigned ones that came by another way, all of one size.

    Raises `Unknown` when the quorum is not reached and says who did not sign and why; `Tampered` when it is
    not reached and a witness saw more of this ledger, or another one; `OutOfOrder` without anybody to ask.
    """
    if not panel.eyes and not panel.authorities and not notes:
        raise OutOfOrder(
            "nobody outside is known", hint="name a witness: [witness] urls in custody.toml, or --witness URL"
        )
    reading = _reading(desk)
    note, checkpoint = reading.note, reading.checkpoint
    if notes:
        note, checkpoint = _given(desk, reading, notes)
        eyes = [_brought(one, panel.witnesses) for one in notes]
    else:
        reading, eyes = _ask_all(desk, reading, panel)
        note, checkpoint = reading.note, reading.checkpoint
    lines = [line for outcome in eyes for line in outcome.lines]
    note = with_cosignatures(note, lines, panel.witnesses)
    cosigned = cosignatures(note, panel.witnesses)
    stamps = _each(lambda authority: _stamp(authority, checkpoint), panel.authorities)
    outcomes = (*eyes, *(outcome for outcome, _ in stamps))
    _enough(panel, cosigned, [token for _, token in stamps if token], outcomes)
    if cosigned:
        desk.log.anchored(checkpoint.size, checkpoint.root)
    pen = desk.permit(CUSTODIAN, Action.ANCHOR)
    entry = pen.write(
        Subject(f"ledger:{checkpoint.origin}", checkpoint.root.hex()),
        kinds.ANCHOR,
        {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "note": note,
            "tokens": [
                {"tsa": outcome.url, "token": base64.b64encode(token).decode()} for outcome, token in stamps if token
            ],
        },
    )
    covered = cover(desk, panel, checkpoint.size) if panel.eyes else {}
    stamped = tuple(outcome.url for outcome, token in stamps if token)
    return Anchored(entry, checkpoint, cosigned, stamped, tuple(outcomes), tuple(sorted(covered)))


def cover(desk: Desk, panel: Panel, shown: int | None = None) -> dict[str, int]:
    """Have the newest checkpoint cosigned without a new entry; returns who signed it, each with its moment.

    `shown` is the size that the witnesses signed last, where that is known; they say so themselves otherwise.
    Where the log grows meanwhile the cosignatures come too late and are let go: nobody is returned.
    """
    reading, outcomes = _ask_all(desk, _reading(desk), panel, shown)
    lines = [line for outcome in outcomes for line in outcome.lines]
    note = with_cosignatures(reading.note, lines, panel.witnesses)
    if note == reading.note:
        return cosignatures(note, panel.witnesses)
    try:
        desk.log.cosign(note)
    except Moved:
        return {}
    desk.log.anchored(reading.checkpoint.size, reading.checkpoint.root)
    return cosignatures(note, panel.witnesses)


def request_for(desk: Desk, old: int | None = None) -> Request:
    """Return what a witness is to be asked about the newest checkpoint; `old` is the size it signed last.

    Without `old`, the newest anchor on record tells what a witness must have seen. Raises `InvalidInput`
    for a size this ledger has not reached.
    """
    reading = _reading(desk)
    size = reading.checkpoint.size
    if old is None:
        old = _last_shown(desk)
    if not 0 <= old <= size:
        raise InvalidInput(f"the ledger has {size} entries, and the witness is to have seen {old}")
    return Request(old, _proof(reading, old), reading.note)


def _reading(desk: Desk) -> Reading:
    desk.read()
    return desk.reading


def _given(desk: Desk, reading: Reading, notes: Sequence[str]) -> tuple[str, Checkpoint]:
    """Hold notes that came by file against this ledger: of one size, with its root there, signed by its key."""
    texts = {parse_note(note).text for note in notes}
    if len(texts) != 1:
        raise InvalidInput("the cosigned notes are of several checkpoints", hint="give those of one")
    size = read_checkpoint(*texts).size
    frontier = reading.frontiers.get(size)
    if frontier is None or size == 0:
        raise Tampered(f"the note is of {size} entries, and this ledger has {reading.checkpoint.size}")
    checkpoint = Checkpoint(reading.checkpoint.origin, size, frontier.root)
    if texts != {checkpoint.body()}:
        raise Tampered(f"the note is of another history: its first {size} entries are not those of this ledger")
    key = b64decode(desk.roster().root_at(size).log_key, what="log_key of the trust root")
    open_checkpoint(notes[0], checkpoint.origin, key)
    return notes[0], checkpoint


def _ask_all(desk: Desk, reading: Reading, panel: Panel, shown: int | None = None) -> tuple[Reading, list[Outcome]]:
    """Ask every witness at once; where one has seen more, because another command wrote, begin again."""
    for _ in range(_TURNS):
        ask = partial(_ask, reading, _last_shown(desk) if shown is None else shown, panel.witnesses)
        outcomes = _each(ask, panel.eyes)
        if not any(outcome.state == "conflict" for outcome in outcomes):
            break
        again = _reading(desk)
        if again.checkpoint.size == reading.checkpoint.size:
            break
        reading = again
    return reading, outcomes


def _ask(reading: Reading, old: int, witnesses: Mapping[str, bytes], eye: Eye) -> Outcome:
    """Ask one witness, from the size it says it signed last; what it answers counts by its signature alone."""
    size = reading.checkpoint.size
    old = min(old, size)
    try:
        for _ in range(_TURNS):
            answer = eye.ask(Request(old, _proof(reading, old), reading.note))
            if answer.status == 200:
                return _signed(eye.url, answer, reading.note, witnesses)
            if answer.status != 409 or answer.content_type != SIZE:
                break
            seen = read_size(answer.body.removesuffix("\n"))
            if seen > size:
                why = f"it has seen {seen} entries of this ledger, which has {size}: the ledger was cut short"
                return Outcome(eye.url, "conflict", why)
            if seen == old == size:
                why = f"it has signed another checkpoint of size {seen}: there are two histories of this ledger"
                return Outcome(eye.url, "conflict", why)
            old = seen
    except Unavailable as error:
        return Outcome(eye.url, "silent", error.message)
    except InvalidInput as error:
        return Outcome(eye.url, "refused", f"its answer cannot be read: {error.message}")
    if answer.status == 422 and old:
        why = f"it does not find the {old} entries it signed before in this ledger: history was rewritten"
        return Outcome(eye.url, "conflict", why)
    told = {404: "it does not follow this ledger: custody witness follow", 403: "it knows another key of this ledger"}
    return Outcome(eye.url, "refused", told.get(answer.status, f"it answered {answer.status}: {answer.body[:120]!r}"))


def _signed(url: str, answer: Answer, note: str, witnesses: Mapping[str, bytes]) -> Outcome:
    return _counted(url, Note(parse_note(note).text, parse_signatures(answer.body)), witnesses)


def _brought(note: str, witnesses: Mapping[str, bytes]) -> Outcome:
    """Look for witnesses in a note that came by file."""
    return _counted("the given note", parse_note(note), witnesses)


def _counted(url: str, note: Note, witnesses: Mapping[str, bytes]) -> Outcome:
    names = tuple(sorted(cosignatures(note.to_text(), witnesses)))
    if names:
        return Outcome(url, "signed", f"{', '.join(names)} signed", note.signatures, names)
    shown = ", ".join(sorted({line.name for line in note.signatures}))[:120]
    return Outcome(url, "refused", f"signed by {shown}: no witness whom the trust root names")


def _stamp(authority: Authority, checkpoint: Checkpoint) -> tuple[Outcome, bytes]:
    try:
        token = authority.stamp(checkpoint.body().encode())
    except Unavailable as error:
        return Outcome(authority.url, "silent", error.message), b""
    return Outcome(authority.url, "signed", "a time stamp came back"), token


def _each(ask: Callable[[Asked], Told], whom: Sequence[Asked]) -> list[Told]:
    """Ask everybody at the same time: the slowest sets the pace, not the sum of all."""
    if not whom:
        return []
    with ThreadPoolExecutor(min(16, len(whom))) as pool:
        return list(pool.map(ask, whom))


def _enough(panel: Panel, cosigned: Mapping[str, int], tokens: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
    """Raise unless the quorum is reached, or, where none is asked for, somebody answered at all."""
    if len(cosigned) >= panel.quorum and (cosigned or tokens):
        return
    told = "; ".join(f"{outcome.url}: {outcome.reason}" for outcome in outcomes if outcome.state != "signed")
    reached = f"{len(cosigned)} of {panel.quorum} witnesses signed" if panel.quorum else "nobody outside signed"
    kind: type[CustodyError] = Unknown
    hint = "see that the witnesses run and follow this ledger, then repeat the command"
    if any(outcome.state == "conflict" for outcome in outcomes):
        kind, hint = Tampered, "stop, and find out which history is the true one before anything else is signed"
    raise kind(f"{reached}; nothing was recorded{': ' + told if told else ''}", hint=hint)


def _last_shown(desk: Desk) -> int:
    """Return the size that witnesses signed last, as far as the record tells: the newest anchor's own checkpoint."""
    anchors = desk.read().of_kind(kinds.ANCHOR)
    return anchors[-1].index + 1 if anchors else 0


def _proof(reading: Reading, old: int) -> tuple[bytes, ...]:
    if old in (0, reading.checkpoint.size):
        return ()
    return tuple(prove_consistency(reading.frontiers.leaves, old))

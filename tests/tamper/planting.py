"""Faults planted in a real project, and two judges who must both notice: the product and the stranger's verifier.

A case is a function that does one thing to a `World`: a copy of an honest project that reached GO and runs in
production, with its ledger, its keys and what its client remembers. Afterwards the product opens the project as any
command would (`custody.load`), and `custody_verify` reads a bundle made of the ledger's raw rows, so that no check of
the product stands before the verifier's. Each case names the reason, from one closed list, that each of them must give.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from custody.config import read_config
from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.desk import Desk, now
from custody.errors import CustodyError
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import leaf_of
from custody.ledger.merkle import Frontier, leaf_hash
from custody.records.freshness import freshness
from custody.seal.envelope import Envelope, in_one_form, pae
from custody.seal.envelope import seal as sign
from custody.seal.keys import LogKey, PersonKey
from custody.stages.deployment import admission_of, check_decision, check_standing
from custody.testing import Life, honest_life
from custody.wiring import Custody
from custody_verify.__main__ import main as verifier


class Reason(Enum):
    """Why something is refused: exit codes, and words of which the sentence must hold one, divided by bars."""

    ACCEPTED = "0", ""
    NO_LONGER = "1", "key|void|compromised|expired|process."
    NOT_JSON = "2", "not JSON|cannot be read|not a bundle|format"
    UNSEEN = "3", "freshness unproven|witnesses|quorum"
    UNSEEN_OR_STRAY = "34", "freshness unproven|witnesses|quorum|by no witness"
    ALTERED = "4", "was altered|hash to its leaf|cannot be read|is damaged|checkpoint's root|have the form"
    CUT_SHORT = "4", "cut short|is missing|the checkpoint covers|were seen before|shorter|no checkpoint"
    REWRITTEN = "4", "was rewritten|checkpoint's root|not those seen before|no checkpoint covers"
    NOT_THE_LOG = (
        "4",
        "not signed by the log's key|not by the log's key|another log|form of a signed note|cannot be read|is damaged"
        "|checkpoint is not text|checkpoint's signature|the checkpoint covers",
    )
    NOT_ON_RECORD = "4", "key that is not|same key as|on record|key of another|key id"
    NOT_SIGNED = "4", "signature"
    NOT_ALLOWED = "4", "may not|cannot|owns nothing|ended|no role|not an emergency|more than an emergency|must end"
    WEAK_KEY = "4", "P-256|not a public key|curve|PEM|small order|accepts forgeries"
    REPLAYED = "4", "word for word"
    AMBIGUOUS = (
        "4",
        "twice|not canonical|byte-order mark|not a number|2^53|surrogate|nested|wrong shape|wrong type|fields|lacks"
        "|unknown|known kind|cannot be read|one subject|not JSON|nothing else",
    )
    NOT_THE_OWNER = "4", "owner|own root|trust root|own the ledger|cannot follow|twice|the quorum is|not fit|not count"
    FORGED = (
        "4",
        "the record gives|names no|does not follow|follows a decision|not made from|other rulings|what it was based on"
        "|end than|production|later|entry covers|names another",
    )
    FALLEN = "5", "compromised|today the record gives|expired|quarantined|retired|later decision"

    @property
    def codes(self) -> tuple[int, ...]:
        """Return the exit codes that say so."""
        return tuple(int(digit) for digit in self.value[0])

    def fits(self, said: str) -> bool:
        """Tell whether the sentence gives this reason."""
        return any(words in said for words in self.value[1].split("|"))


@cache
def _template() -> tuple[Path, Life]:
    folder = Path(mkdtemp(prefix="custody-tamper-"))
    return folder, honest_life(folder)


@dataclass
class World:
    """A copy of the honest project; `remembers` tells whether its reader has seen the honest ledger before."""

    folder: Path
    remembers: bool = True
    trust_edit: Callable[[dict[str, Any]], None] | None = None
    bundle_edit: Callable[[bytes], bytes] | None = None
    later: timedelta = timedelta(0)
    words: list[str] = field(default_factory=list)

    @classmethod
    def planted(cls, folder: Path) -> World:
        """Copy the template."""
        made, _ = _template()
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return cls(folder)

    # What stands in the ledger, and writing it past every check.

    @property
    def database(self) -> sqlite3.Connection:
        """Return a connection to the ledger's file, as an insider with a shell would open it."""
        connection = sqlite3.connect(self.folder / ".custody" / "ledger.db", isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def sql(self, statement: str, *values: object) -> None:
        """Run one statement on the ledger's file."""
        connection = self.database
        connection.execute(statement, values)
        connection.close()

    @property
    def envelopes(self) -> list[Envelope]:
        """Return the envelopes of the ledger, in order."""
        connection = self.database
        rows = connection.execute("SELECT envelope FROM entry ORDER BY idx").fetchall()
        connection.close()
        return [Envelope.from_bytes(bytes(row[0])) for row in rows]

    @property
    def note(self) -> str:
        """Return the newest checkpoint."""
        connection = self.database
        (note,) = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        connection.close()
        return str(note)

    def rewrite(self, envelopes: Sequence[Envelope], leaves: Sequence[bytes] | None = None) -> None:
        """Replace the whole ledger, with hashes and a checkpoint that fit: whoever holds the log's key can."""
        hashes = list(leaves) if leaves is not None else [leaf_of(envelope) for envelope in envelopes]
        frontier = Frontier().extend(hashes)
        note = sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root), self.log_key)
        connection = self.database
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM entry")
        connection.execute("DELETE FROM checkpoint")
        connection.executemany(
            "INSERT INTO entry (idx, leaf, envelope) VALUES (?, ?, ?)",
            [(n, leaf, e.to_bytes()) for n, (leaf, e) in enumerate(zip(hashes, envelopes, strict=True))],
        )
        connection.execute(
            "INSERT INTO checkpoint (size, note, frontier) VALUES (?, ?, ?)", (frontier.size, note, frontier.to_bytes())
        )
        connection.execute("COMMIT")
        connection.close()

    def append(self, *envelopes: Envelope) -> int:
        """Append past the desk, with the log's real key; returns the index of the first."""
        old = self.envelopes
        self.rewrite([*old, *envelopes])
        return len(old)

    # Keys and names.

    @property
    def config(self) -> Any:
        return read_config(self.folder / "custody.toml", {"CUSTODY_STATE": str(self.folder)})

    @property
    def origin(self) -> str:
        return str(self.config.origin)

    @property
    def log_key(self) -> LogKey:
        return LogKey.load(self.folder / ".custody" / "keys" / "log.pem")

    def key(self, name: str) -> PersonKey:
        """Return somebody's real key."""
        return PersonKey.load(self.folder / ".custody" / "keys" / f"{name}.pem")

    def of(self, kind: str) -> list[tuple[int, Envelope]]:
        """Return the entries of one kind."""
        return [(n, envelope) for n, envelope in enumerate(self.envelopes) if envelope.statement.kind == kind]

    @property
    def model(self) -> Subject:
        return self.of(kinds.TRAINING_FINISH)[-1][1].statement.subject

    def say(self, who: str, about: Subject, kind: str, said: Mapping[str, Any], *, key: PersonKey | None = None) -> int:
        """Sign with the real key of `who`, or with `key`, and append past the desk."""
        body = dict(said) if kind == kinds.TRAINING_FINISH else {"at": now().isoformat(), **said}
        return self.append(sign(Statement(about, kind, body), key or self.key(who)))

    def again(self, index: int, who: str, **changes: Any) -> Envelope:
        """Return the statement of entry `index` with other values, signed by `who`."""
        old = self.envelopes[index].statement
        return sign(Statement(old.subject, old.kind, {**old.predicate, **changes}), self.key(who))

    def replace(self, index: int, envelope: Envelope) -> None:
        """Put another envelope in the place of an entry, with hashes and checkpoint that fit."""
        found = self.envelopes
        found[index] = envelope
        self.rewrite(found)

    def forget(self) -> None:
        """Let the reader be one who never saw this ledger: what was remembered is gone."""
        for path in self.folder.glob("*.json"):
            path.unlink()
        self.remembers = False

    # The two judges.

    def product(self) -> tuple[int, str]:
        """Open the project as `custody.load` does, up to the bytes; returns the exit code and the words."""
        moment = now() + self.later
        try:
            custody = Custody(self.config)
            desk = Desk(custody.desk.log, custody.config.owner_key, custody.signer, lambda: moment)
            record = desk.read()
            fresh = freshness(record, desk.reading, desk.time())
            if not fresh.enough:
                return 3, fresh.sentence
            admission = admission_of(record, "loans", "production")
            check_decision(desk, record, admission)
            check_standing(record, admission, desk.time())
        except CustodyError as error:
            return error.exit_code, error.message
        return 0, "admitted"

    def stranger(self) -> tuple[int, str]:
        """Let the verifier read a bundle of the raw rows; returns the exit code and the words."""
        connection = self.database
        rows = [_as_exported(bytes(row[0])) for row in connection.execute("SELECT envelope FROM entry ORDER BY idx")]
        connection.close()
        raw = b'{"format":"custody-bundle/1","origin":%s,"checkpoint":%s,"entries":[\n%s\n]}\n' % (
            json.dumps(self.origin).encode(),
            json.dumps(self.note, ensure_ascii=False).encode(),
            b",\n".join(rows),
        )
        if self.bundle_edit:
            raw = self.bundle_edit(raw)
        trust = {
            "format": "custody-trust/1",
            "origin": self.origin,
            "log_key": self.config.log_key,
            "owner_key": self.config.owner_key,
        }
        if self.trust_edit:
            self.trust_edit(trust)
        (self.folder / "bundle").write_bytes(raw)
        (self.folder / "trust").write_text(json.dumps(trust, sort_keys=True, separators=(",", ":")) + "\n")
        seen = ["--seen", self.seen] if self.remembers else []
        at = ["--at", (now() + self.later).isoformat()]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = verifier(
                [
                    str(self.folder / "bundle"),
                    "--trust",
                    str(self.folder / "trust"),
                    "--json",
                    "--require-today",
                    *seen,
                    *at,
                    *self.words,
                ]
            )
        report = json.loads(out.getvalue())
        return code, "; ".join([str(report["answer"]), *report["reasons"], *report.get("today", [])])

    @property
    def seen(self) -> str:
        """Return the checkpoint of the honest ledger as the verifier's option."""
        record = _template()[1].record
        return f"{record.size}:{record.root}"


def _as_exported(raw: bytes) -> bytes:
    """Return an envelope as a bundle carries it: the signature with the lower s; what cannot be read, as it is."""
    try:
        return in_one_form(Envelope.from_bytes(raw)).to_bytes()
    except CustodyError:
        return raw


@dataclass(frozen=True)
class Case:
    """What is planted, and what the product and the stranger must say."""

    plant: Callable[[World], None]
    product: Reason
    stranger: Reason

    def judge(self, folder: Path) -> None:
        """Plant it and ask both."""
        world = World.planted(folder)
        self.plant(world)
        for who, expected, (code, said) in (
            ("the product", self.product, world.product()),
            ("the verifier", self.stranger, world.stranger()),
        ):
            assert code in expected.codes, f"{who} ends with {code}, expected {expected.name}: {said}"
            assert expected.fits(said), f"{who} says {said!r}, expected {expected.name}"


Cases = dict[str, Case]


Plant = Callable[[World], None]


def case(cases: Cases, product: Reason, stranger: Reason | None = None) -> Callable[[Plant], Plant]:
    """Add a case to a table; its name is the function's."""

    def add(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        assert name not in cases, name
        cases[name] = Case(plant, product, stranger or product)
        return plant

    return add


def edited(envelope: Envelope, **parts: Any) -> Envelope:
    """Return an envelope with other parts: payload, keyid or signature."""
    return Envelope(
        parts.get("payload", envelope.payload),
        parts.get("keyid", envelope.keyid),
        parts.get("signature", envelope.signature),
    )


def moved(text: str, days: float) -> str:
    """Return a moment some days from the given one."""
    return (datetime.fromisoformat(text) + timedelta(days=days)).isoformat()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def signed(payload: bytes, key: PersonKey) -> Envelope:
    """Sign any bytes as if they were a statement."""
    return Envelope(payload, key.keyid, key.sign(pae(payload)))


def leaf_over(kind: str, envelope: Envelope) -> bytes:
    """Return the leaf of an envelope whose statement cannot be read."""
    return leaf_hash(f"custody-entry/v1\n{kind}\n{envelope.digest}\n{envelope.keyid}\n".encode())


def append_payload(world: World, payload: bytes, who: str, kind: str) -> None:
    """Append a payload that need not be a statement, signed by `who` and covered by a sound checkpoint."""
    old = world.envelopes
    leaves = [leaf_of(envelope) for envelope in old]
    bad = signed(payload, world.key(who))
    world.rewrite([*old, bad], [*leaves, leaf_over(kind, bad)])

"""The trust root: who owns a ledger, how many of them must agree, and whose key signs its checkpoints.

Version 1 is what a reader brings along: the log's key and the first owner's. Every later version stands on
the ledger as a TRUST_ROOT statement and counts only if the owners of the version before it *and* its own
owners signed it, each time as many distinct persons as that version's threshold asks for (TUF, section 5.3.8
and 6.1: https://theupdateframework.github.io/specification/latest/). So whoever trusts version 1, or pins
any later one, can follow the chain offline, however many keys were replaced since.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.moments import moment
from custody.errors import InvalidInput, Tampered, Unavailable
from custody.given import read_given
from custody.seal.envelope import Envelope
from custody.seal.keys import Signer, check_ed25519, keyid_of, recorded_keyid, verify_p256

CONTEXT = b"custody-trust-root/v1\n"
"""What stands before the JSON in what owners sign, so that no signature serves two purposes."""
TRUST_1, TRUST_2 = "custody-trust/1", "custody-trust/2"
MAX_TRUST_BYTES = 64 * 1024
MAX_NAMED = 1000
"""How many owners or witnesses a root may name."""


@dataclass(frozen=True)
class Owner:
    """One owner: a name on the ledger, the person behind it, and their P-256 key (PEM)."""

    name: str
    person: str
    keyid: str
    key: str

    def to_json(self) -> dict[str, str]:
        """Return the owner as the root document names them."""
        return {"name": self.name, "person": self.person, "keyid": self.keyid, "key": self.key}


@dataclass(frozen=True)
class Witness:
    """Somebody outside who cosigns checkpoints; `key` is a raw Ed25519 public key in base64."""

    name: str
    key: str


@dataclass(frozen=True)
class Root:
    """One version of the trust root. `digest` is the sha256 of what was signed; "" for version 1."""

    version: int
    expires: str
    log_key: str
    owners: tuple[Owner, ...]
    threshold: int
    witnesses: tuple[Witness, ...] = ()
    quorum: int = 0
    digest: str = ""

    @property
    def persons(self) -> frozenset[str]:
        """Return the persons who own the ledger."""
        return frozenset(owner.person for owner in self.owners)

    def owner(self, keyid: str) -> Owner | None:
        """Return the owner with that key."""
        return next((owner for owner in self.owners if owner.keyid == keyid), None)

    def to_json(self) -> dict[str, Any]:
        """Return the document, without signatures and origin."""
        return {
            "version": self.version,
            "expires": self.expires,
            "log_key": self.log_key,
            "owners": [owner.to_json() for owner in self.owners],
            "threshold": self.threshold,
            "witnesses": [{"name": witness.name, "key": witness.key} for witness in self.witnesses],
            "quorum": self.quorum,
        }


@dataclass(frozen=True)
class Trust:
    """What a reader must know by another way than the ledger, and what they saw of it before.

    `origin`, `log_key` (base64) and `owner_key` (key id) are those of version 1. `version` and `digest` pin
    a later root; `seen_size` and `seen_root` (hex) a tree that the ledger must contain.
    """

    origin: str
    log_key: str
    owner_key: str
    version: int = 1
    digest: str = ""
    seen_size: int = 0
    seen_root: str = ""


def first_root(log_key: str, owner: Owner | None) -> Root:
    """Return version 1, which nobody signed: it is what the reader brought along."""
    return Root(1, "", log_key, (owner,) if owner else (), 1)


def signed_bytes(origin: str, root: Root) -> bytes:
    """Return what each owner signs: a context line, then the document in canonical JSON with the log's origin."""
    return CONTEXT + strictjson.dump({"origin": origin, **root.to_json()})


def sign_root(origin: str, root: Root, signer: Signer) -> dict[str, str]:
    """Return one owner's signature of a root, as the statement carries it."""
    signature = signer.sign(signed_bytes(origin, root))
    return {"keyid": signer.keyid, "sig": base64.b64encode(signature).decode()}


def read_root(origin: str, said: Mapping[str, Any]) -> Root:
    """Read a root document strictly, signatures aside; raises `InvalidInput`, or `Tampered` for a weak key."""
    owners = tuple(
        Owner(**_texts(item, ("name", "person", "keyid", "key"), "owner")) for item in _listed(said, "owners")
    )
    witnesses = tuple(Witness(**_texts(item, ("name", "key"), "witness")) for item in _listed(said, "witnesses"))
    root = Root(
        _whole(said, "version"),
        _text(said, "expires"),
        _text(said, "log_key"),
        owners,
        _whole(said, "threshold"),
        witnesses,
        _whole(said, "quorum"),
    )
    for owner in owners:
        if recorded_keyid(owner.key) != owner.keyid:
            raise InvalidInput(f"the key id of {owner.name} does not fit the key")
    keys = [owner.keyid for owner in owners] + [witness.key for witness in witnesses] + [root.log_key]
    if len(set(keys)) != len(keys):
        raise InvalidInput("the root names one key twice")
    for names in ([owner.name for owner in owners], [witness.name for witness in witnesses]):
        if len(set(names)) != len(names):
            raise InvalidInput("the root gives one name to two")
    check_ed25519(strictjson.b64decode(root.log_key, what="log_key"), "the log's key")
    for witness in witnesses:
        check_ed25519(strictjson.b64decode(witness.key, what="witness key"), f"the key of witness {witness.name}")
    if not 1 <= root.threshold <= len(root.persons):
        raise InvalidInput(f"the threshold is {root.threshold}, and {len(root.persons)} persons own the ledger")
    if not 0 <= root.quorum <= len(witnesses):
        raise InvalidInput(f"the quorum is {root.quorum}, and the root names {len(witnesses)} witnesses")
    if root.expires and moment(root.expires) is None:
        raise InvalidInput(f"the root's end {root.expires!r} is not a moment with a time zone")
    return replace(root, digest=hashlib.sha256(signed_bytes(origin, root)).hexdigest())


def follow(origin: str, old: Root, said: Mapping[str, Any], lost: Iterable[str] = ()) -> Root:
    """Return the root that a TRUST_ROOT statement installs after `old`; raises `Tampered` or `InvalidInput`.

    It counts only if at least `old.threshold` distinct persons among the old owners and at least the new
    threshold of distinct persons among the new ones signed it. `lost` are key ids that sign nothing any more.
    Every signature must be good and by a key that one of the two versions names, and no key signs twice.
    """
    new = read_root(origin, said)
    if new.version != old.version + 1:
        raise Tampered(f"root {new.version} cannot follow root {old.version}")
    message = signed_bytes(origin, new)
    gone = frozenset(lost)
    signed: set[str] = set()
    for item in _listed(said, "signatures"):
        stamp = _texts(item, ("keyid", "sig"), "signature")
        owner = old.owner(stamp["keyid"]) or new.owner(stamp["keyid"])
        if owner is None or owner.keyid in gone or owner.keyid in signed:
            raise Tampered(f"root {new.version} is signed by a key that does not count ({stamp['keyid'][:12]})")
        verify_p256(owner.key, strictjson.b64decode(stamp["sig"], what="signature"), message)
        signed.add(owner.keyid)
    for root in (old, new):
        persons = {owner.person for owner in root.owners if owner.keyid in signed}
        if len(persons) < root.threshold:
            raise Tampered(
                f"root {new.version} needs {root.threshold} of the persons who own root {root.version}; "
                f"{len(persons)} signed"
            )
    return new


class RootChain:
    """The newest root of a growing log: it follows each new row once, and begins anew if the rows were others."""

    def __init__(self, trust: Trust) -> None:
        self._trust, self._count = trust, 0
        self._root = first_root(trust.log_key, None)
        self._last: Envelope | None = None

    @property
    def log_key(self) -> bytes:
        """Return the key that signs checkpoints after the rows followed so far: raw Ed25519."""
        return strictjson.b64decode(self._root.log_key, what="log_key")

    def __call__(self, rows: Sequence[tuple[int, Envelope]]) -> bytes:
        """Return the log's key in force after these rows; raises `Tampered`."""
        if len(rows) < self._count or (self._count and rows[self._count - 1][1] is not self._last):
            self._count, self._root = 0, first_root(self._trust.log_key, None)
        try:
            for index, envelope in itertools.islice(rows, self._count, None):
                if index == 0:
                    self._root = first_root(self._trust.log_key, _first_owner(envelope, self._trust.owner_key))
                elif envelope.statement.kind == kinds.TRUST_ROOT:
                    kinds.check_predicate(kinds.TRUST_ROOT, envelope.statement.predicate)
                    self._root = follow(self._trust.origin, self._root, envelope.statement.predicate)
                self._count, self._last = index + 1, envelope
        except (InvalidInput, Tampered) as error:
            self._count, self._root = 0, first_root(self._trust.log_key, None)
            raise Tampered(f"entry {index} does not count: {error.message}") from None
        return self.log_key


def check_pin(trust: Trust, roots: Iterable[Root]) -> None:
    """Raise `Tampered` unless the chain passes through the version that the reader saw before."""
    for root in roots:
        if root.version == trust.version:
            if root.digest == trust.digest:
                return
            raise Tampered(f"root {root.version} is not the one that was seen before", hint="whose ledger is this?")
    raise Tampered(
        f"the ledger has no root {trust.version}, which was seen before: it was rolled back",
        hint="restore the missing entries from a backup or from an exported bundle",
    )


def _first_owner(envelope: Envelope, owner_key: str) -> Owner:
    said = envelope.statement.predicate
    owner = Owner(**{name: str(said.get(name, "")) for name in ("name", "person", "keyid", "key")})
    if envelope.statement.kind != kinds.ENROLMENT or keyid_of(owner.key) != owner_key or owner.keyid != owner_key:
        raise Tampered("the ledger does not begin with the owner that the trust root names")
    return owner


def write_trust(path: Path, trust: Trust) -> None:
    """Write the trust file for readers (`custody-trust/2`), atomically."""
    body = {
        "format": TRUST_2,
        "origin": trust.origin,
        "log_key": trust.log_key,
        "owner_key": trust.owner_key,
        "root": {"version": trust.version, "digest": trust.digest},
        "seen": {"size": trust.seen_size, "root": trust.seen_root},
    }
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_bytes(strictjson.dump(body) + b"\n")
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="name another place with -o") from None


def read_trust(path: Path) -> Trust:
    """Read a trust file of either format; raises `InvalidInput`."""
    try:
        raw = read_given(path, MAX_TRUST_BYTES)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", hint="check the file's name") from None
    body = strictjson.parse_object(raw, max_bytes=MAX_TRUST_BYTES, what="trust file")
    names = {"format", "origin", "log_key", "owner_key"}
    given = {name: _text(body, name) for name in sorted(names)}
    if given["format"] == TRUST_1 and set(body) == names:
        return Trust(given["origin"], given["log_key"], given["owner_key"])
    if given["format"] != TRUST_2 or set(body) != names | {"root", "seen"}:
        raise InvalidInput(f"{path.name} is not a trust file of a format that Custody knows")
    root, seen = body["root"], body["seen"]
    if not isinstance(root, dict) or not isinstance(seen, dict) or len(root) != 2 or len(seen) != 2:
        raise InvalidInput(f"{path.name}: root or seen has the wrong shape")
    found = Trust(
        given["origin"],
        given["log_key"],
        given["owner_key"],
        _whole(root, "version"),
        _text(root, "digest"),
        _whole(seen, "size"),
        _text(seen, "root"),
    )
    if found.version < 1 or found.seen_size < 0 or (found.version == 1) != (found.digest == ""):
        raise InvalidInput(f"{path.name}: its root or what was seen makes no sense")
    return found


def _listed(said: Mapping[str, Any], name: str) -> list[Any]:
    found = said.get(name)
    if not isinstance(found, list) or len(found) > MAX_NAMED:
        raise InvalidInput(f"{name} is not a list of at most {MAX_NAMED}")
    return found


def _texts(item: Any, names: tuple[str, ...], what: str) -> dict[str, str]:
    if not isinstance(item, Mapping) or set(item) != set(names) or not all(isinstance(item[n], str) for n in names):
        raise InvalidInput(f"the {what} must have exactly {', '.join(names)}, as text")
    if not all(item[name] for name in names):
        raise InvalidInput(f"the {what} has an empty field")
    return {name: item[name] for name in names}


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    if not isinstance(found, str):
        raise InvalidInput(f"{name} is not text")
    return found


def _whole(said: Mapping[str, Any], name: str) -> int:
    found = said.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise InvalidInput(f"{name} is not a whole number")
    return found

"""Steps 1 to 5: from a file that claims something to a history in which every entry is somebody's word.

(1) the trust root comes from outside, (2) the log signed a checkpoint, (3) every envelope is one signed
statement, (4) the entries are exactly those the checkpoint covers, in order, (5) each signer was enrolled
at that index and may say that kind of thing.
"""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from custody_verify import vocabulary as say
from custody_verify.curves import Affine, read_public_key, verify_ed25519, verify_p256
from custody_verify.strict import Refused, Unreadable, read_base64, read_json

MAX_BUNDLE, MAX_PAYLOAD, MAX_TRUST = 1024**3, 16 * 1024**2, 64 * 1024
ENVELOPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
_HEX = re.compile(r"[0-9a-f]{64}")


class Trust(NamedTuple):
    """What a reader must know by another way than the bundle."""

    origin: str
    log_key: bytes
    owner_key: str


@dataclass(frozen=True)
class Entry:
    """One statement on the ledger, signed by someone who could say so. `about` is the subject's sha256."""

    index: int
    digest: str
    name: str
    about: str
    kind: str
    said: dict[str, Any]
    actor: str = ""
    person: str = ""
    roles: frozenset[str] = frozenset()


class Person(NamedTuple):
    """A name with its key and roles, as enrolled by the owner."""

    name: str
    person: str
    roles: frozenset[str]
    key: Affine
    keyid: str


class Tree:
    """The Merkle tree of RFC 6962, 2.1, able to give its root at any earlier size."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.levels = [leaves]
        while len(self.levels[-1]) > 1:
            row = self.levels[-1]
            self.levels.append([_node(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)])

    def root(self, size: int) -> str:
        """Return the root, in hex, of the first `size` leaves."""
        if not 0 < size <= len(self.levels[0]):
            return hashlib.sha256(b"").hexdigest() if size == 0 else ""
        found = b""
        for level, row in enumerate(self.levels):
            if size >> level & 1:
                whole_tree = row[(size >> level) - 1]
                found = _node(whole_tree, found) if found else whole_tree
        return found.hex()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class History:
    """All entries in order, and the tree over them."""

    entries: list[Entry]
    tree: Tree
    _subjects: dict[str, list[Entry]] = field(default_factory=dict)
    _kinds: dict[str, list[Entry]] = field(default_factory=dict)
    _digests: dict[str, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.entries:
            self._subjects.setdefault(entry.about, []).append(entry)
            self._kinds.setdefault(entry.kind, []).append(entry)
            self._digests.setdefault(entry.digest, entry)


@dataclass(frozen=True)
class Past:
    """The history as it stood when it had `size` entries."""

    history: History
    size: int

    def about(self, sha256: str, kind: str) -> list[Entry]:
        """Return the statements of a kind about a subject, in order."""
        return [e for e in self.history._subjects.get(sha256, []) if e.index < self.size and e.kind == kind]

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the statements of a kind, in order."""
        return [e for e in self.history._kinds.get(kind, []) if e.index < self.size]

    def find(self, digest: object, kind: str) -> Entry | None:
        """Return the statement with that payload digest, if it is of that kind."""
        entry = self.history._digests.get(digest) if isinstance(digest, str) else None
        return entry if entry and entry.index < self.size and entry.kind == kind else None


def read_file(path: Path, limit: int) -> bytes:
    """Read a whole file of bounded size; raises `Unreadable`."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)  # one more, so that the reader notices that it is too large
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_trust(raw: bytes) -> Trust:
    """(1) Read the trust root."""
    try:
        body = read_json(raw, "the trust root", MAX_TRUST)
        trust = Trust(body["origin"], read_base64(body["log_key"], "log_key"), body["owner_key"])
    except (Refused, TypeError, KeyError) as error:
        raise Unreadable(f"the trust root cannot be read: {error}") from None
    fits = len(body) == 4 and body.get("format") == "custody-trust/1" and len(trust.log_key) == 32
    if not fits or not isinstance(trust.origin, str) or not _HEX.fullmatch(str(trust.owner_key)):
        raise Unreadable("the trust root is not of the format 'custody-trust/1': origin, log_key and owner_key")
    return trust


def read_bundle(raw: bytes, trust: Trust) -> tuple[History, list[Person]]:
    """Steps 2 to 5: return the history and who is enrolled at its end; raises `Refused` or `Unreadable`."""
    body = read_json(raw, "the bundle", MAX_BUNDLE)
    if not isinstance(body, dict) or body.get("format") != "custody-bundle/1":
        raise Unreadable("this is not a bundle of the format 'custody-bundle/1'")
    if set(body) != {"format", "origin", "checkpoint", "entries"} or not isinstance(body["entries"], list):
        raise Refused("the bundle has other fields than format, origin, checkpoint and entries")
    if body["origin"] != trust.origin:
        raise Refused(f"the bundle is of another log, {str(body['origin'])[:80]!r}, not of {trust.origin!r}")
    size, root = open_note(body["checkpoint"], trust)
    if len(body["entries"]) != size:
        raise Refused(f"the checkpoint covers {size} entries; the bundle has {len(body['entries'])}")
    envelopes = []
    for index, item in enumerate(body["entries"]):
        try:
            envelopes.append(_open_envelope(index, item))
        except (Refused, Unreadable) as error:
            raise Refused(f"entry {index} cannot be read: {error}") from None
    tree = Tree([envelope.leaf for envelope in envelopes])
    if tree.root(size) != root:  # (4)
        raise Refused("the entries do not give the checkpoint's root: one was altered, replaced or moved")
    entries, people = _replay(envelopes, trust.owner_key)
    return History(entries, tree), people


def open_note(note: object, trust: Trust) -> tuple[int, str]:
    """(2) Return size and root of a checkpoint, a signed note (c2sp.org/tlog-checkpoint), that the log signed."""
    if not isinstance(note, str):
        raise Refused("the checkpoint is not text")
    found = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:\u2014 [^ \n]+ [^ \n]+\n)+)", note)
    if not found:
        raise Refused("the checkpoint does not have the form of a signed note")
    origin, size, root, signatures = found.groups()
    if origin != trust.origin:
        raise Refused(f"the checkpoint is of another log, {origin[:80]!r}, not of {trust.origin!r}")
    digest = read_base64(root, "the root hash")
    if len(digest) != 32:
        raise Refused("the root hash does not have 32 bytes")
    body = note[: note.index("\n\n") + 1].encode()
    name = hashlib.sha256(origin.encode() + b"\n\x01" + trust.log_key).digest()[:4]
    for line in signatures[:-1].split("\n"):
        _, signer, text = line.split(" ")
        stamp = read_base64(text, "the checkpoint's signature")
        if signer == origin and stamp[:4] == name:
            if not verify_ed25519(trust.log_key, stamp[4:], body):
                raise Refused("the checkpoint's signature is not by the log's key")
            return int(size), digest.hex()
    raise Refused("the checkpoint is not signed by the log's key")


@dataclass(frozen=True)
class _Envelope:
    payload: bytes
    keyid: str
    signature: bytes
    entry: Entry

    @property
    def leaf(self) -> bytes:
        """The leaf binds kind, identity and key; not the signature, which its maker could vary."""
        record = f"custody-entry/v1\n{self.entry.kind}\n{self.entry.digest}\n{self.keyid}\n"
        return hashlib.sha256(b"\x00" + record.encode()).digest()


def _open_envelope(index: int, item: Any) -> _Envelope:
    """(3) Read one DSSE envelope in a sigstore bundle v0.3 and the in-toto statement in it: these fields, no others."""
    try:
        dsse = item["dsseEnvelope"]
        coded, sig, keyid = dsse["payload"], dsse["signatures"][0]["sig"], dsse["signatures"][0]["keyid"]
    except (TypeError, KeyError, IndexError):
        raise Refused("the envelope has the wrong shape") from None
    signed = {"payload": coded, "payloadType": PAYLOAD, "signatures": [{"sig": sig, "keyid": keyid}]}
    material = {"publicKey": {"hint": keyid}}
    if item != {"mediaType": ENVELOPE, "verificationMaterial": material, "dsseEnvelope": signed}:
        raise Refused("the envelope has the wrong shape, or names two keys")
    payload = read_base64(coded, "the payload")
    body = read_json(payload, "the statement", MAX_PAYLOAD)
    try:
        subject, kind, said = body["subject"][0], body["predicateType"], body["predicate"]
        name, about = subject["name"], subject["digest"]["sha256"]
    except (TypeError, KeyError, IndexError):
        raise Refused("the statement has the wrong shape") from None
    stated = {"_type": STATEMENT, "subject": [{"name": name, "digest": {"sha256": about}}], "predicateType": kind}
    if body != {**stated, "predicate": said} or not isinstance(said, dict):
        raise Refused("the statement is not of in-toto v1 with one subject and a predicate")
    if not all(isinstance(text, str) for text in (keyid, name, about, kind)) or not _HEX.fullmatch(about):
        raise Refused("the statement's key, kind or subject is not named")
    say.check_fields(kind, said)
    entry = Entry(index, hashlib.sha256(payload).hexdigest(), name, about, kind, said)
    return _Envelope(payload, keyid, read_base64(sig, "the signature"), entry)


def _replay(envelopes: list[_Envelope], owner_key: str) -> tuple[list[Entry], list[Person]]:
    """(5) Replay who was enrolled from entry 0 on, and hold each entry against it."""
    people: dict[str, Person] = {}
    seen: dict[str, int] = {}
    entries: list[Entry] = []
    for envelope in envelopes:
        try:
            entries.append(_accept(envelope, owner_key, people, seen))
        except Refused as error:
            raise Refused(f"entry {envelope.entry.index} does not count: {error}") from None
    return entries, list(people.values())


def _accept(envelope: _Envelope, owner_key: str, people: dict[str, Person], seen: dict[str, int]) -> Entry:
    """Return the entry if its signer could say so at this index."""
    entry, payload = envelope.entry, envelope.payload
    signer = next((person for person in people.values() if person.keyid == envelope.keyid), None)
    if entry.index == 0:
        if entry.kind != say.ENROLMENT:
            raise Refused("the ledger does not begin with its owner's enrolment")
        signer = _person(entry.said)
        if signer.keyid != owner_key or envelope.keyid != owner_key:
            raise Refused("the ledger's owner is not the one in the trust root")
    if signer is None:
        raise Refused(f"it is signed by a key that is not enrolled ({envelope.keyid[:12]})")
    pae = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)
    if not verify_p256(signer.key, envelope.signature, pae):
        raise Refused("the signature does not fit the statement")
    if entry.index and not say.may_say(signer.roles, entry.kind):
        raise Refused(f"{signer.name} may not say {say.short(entry.kind)}")
    first = seen.setdefault(entry.digest, entry.index)
    if first < entry.index:  # else whoever holds the log's key could use somebody's old word again
        raise Refused(f"it repeats the statement of entry {first} word for word: a replay")
    if entry.kind == say.ENROLMENT:
        person = _person(entry.said)
        for other in people.values():
            if other.name != person.name and other.keyid == person.keyid:
                raise Refused(f"{person.name} has the same key as {other.name}")
        people.pop(person.name, None)
        if entry.said["status"] == "active":
            people[person.name] = person
    return replace(entry, actor=signer.name, person=signer.person, roles=signer.roles)


def _person(said: dict[str, Any]) -> Person:
    roles = said["roles"]
    if not all(isinstance(role, str) and role in say.ROLES for role in roles):
        raise Refused("the enrolment names an unknown role")
    try:
        point, keyid = read_public_key(said["key"])
    except ValueError as error:
        raise Refused(f"{said['name']}: {error}") from None
    if keyid != said["keyid"]:
        raise Refused(f"the key id of {said['name']} does not fit the key")
    if said["status"] not in ("active", "revoked"):
        raise Refused(f"the status of {said['name']} is neither active nor revoked")
    return Person(said["name"], said["person"], frozenset(roles), point, keyid)

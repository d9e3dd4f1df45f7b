"""Steps 1 to 4: from a file that claims something to a history under a signed checkpoint.

(1) the trust root comes from outside, (2) every entry is one signed statement, in the one form there is, (3) each
signer was on record and could say that kind of thing at that index (`roster`), (4) the entries are exactly those
of the checkpoint, in order, which the log's key and known witnesses signed.
"""

import hashlib
import re
from collections import namedtuple
from collections.abc import Iterable

from custody_verify.curves import first_wrong, read_signature, verify_ed25519
from custody_verify.roster import Entry, Roster
from custody_verify.strict import MAX_INTEGER, Refused, Unreadable, canonical, read_base64, read_json, require, whole
from custody_verify.vocabulary import KINDS, check_fields

MAX_TRUST, MAX_PAYLOAD, MAX_BUNDLE = 64 * 1024, 16 * 1024**2, 256 * 1024**2
STATEMENT, PAYLOAD = "https://in-toto.io/Statement/v1", b"application/vnd.in-toto+json"
FORMAT, HEX = "custody-bundle/1", re.compile(r"[0-9a-f]{64}")
_BASE64 = rb'"([A-Za-z0-9+/]+={0,2})"'
_ENVELOPE = re.compile(  # DSSE in a sigstore bundle v0.3 that names its key twice, alike
    rb'\{"dsseEnvelope":\{"payload":' + _BASE64 + rb',"payloadType":"application/vnd\.in-toto\+json",'
    rb'"signatures":\[\{"keyid":"([0-9a-f]{64})","sig":' + _BASE64 + rb"\}\]\},"
    rb'"mediaType":"application/vnd\.dev\.sigstore\.bundle\.v0\.3\+json",'
    rb'"verificationMaterial":\{"publicKey":\{"hint":"\2"\}\}\}'
)
_NOTE = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:\u2014 [^ \n]+ [^ \n]+\n)+)")
Void = tuple[int, frozenset[int]]

Trust = namedtuple("Trust", "origin log_key owner_key root seen")
"""What a reader must know by another way than the bundle; `root` and `seen` guard against older histories."""

class Tree:
    """The Merkle tree of RFC 6962, 2.1, able to give its root at any earlier size."""
    def __init__(self, leaves: list[bytes]) -> None:
        self.rows = [leaves]
        while len(row := self.rows[-1]) > 1:
            self.rows.append([_node(left, right) for left, right in zip(row[::2], row[1::2], strict=False)])
    def root(self, size: int) -> str:
        """Return the root, in hex, of the first `size` leaves; "" where there are not so many."""
        if not 0 < size <= len(self.rows[0]): return hashlib.sha256(b"").hexdigest() if size == 0 else ""
        found = b""
        for level, row in enumerate(self.rows):
            if whole_trees := size >> level & 1 and size >> level:
                found = _node(row[whole_trees - 1], found) if found else row[whole_trees - 1]
        return found.hex()
def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()

class History:
    """All entries in order, the tree over them, and what was void by each revocation's index."""
    def __init__(self, entries: list[Entry], tree: Tree, origin: str = "", void: Iterable[Void] = ()) -> None:
        self.entries, self.tree, self.origin, self.void = entries, tree, origin, list(void)
        self.subjects: dict[tuple[str, str], list[Entry]] = {}
        self.kinds: dict[str, list[Entry]] = {}
        self.digests: dict[str, Entry] = {}
        for entry in entries:
            self.subjects.setdefault((entry.about, entry.kind), []).append(entry)
            self.kinds.setdefault(entry.kind, []).append(entry)
            self.digests.setdefault(entry.digest, entry)
    def cosigners(self, anchor: Entry, witnesses: dict[str, bytes]) -> dict[str, int]:
        """Return which of the witnesses cosigned an anchor that is of this ledger, and when."""
        size, root = anchor.said["size"], anchor.said["root"]
        try:
            note = Note(anchor.said["note"], self.origin)
            fits = 0 < size <= anchor.index and (size, self.tree.root(size)) == (note.size, root) and root == note.root
            for token in anchor.said["tokens"]:
                require(isinstance(token, dict) and isinstance(token.get("tsa"), str), "a token names no authority")
                read_base64(token.get("token"), "a token")
            return note.cosigners(witnesses) if fits else {}
        except Refused:
            return {}

class Past:
    """The history as it stood when it had `size` entries."""
    def __init__(self, history: History, size: int) -> None:
        self.history, self.size = history, size
        self.void = next((void for told, void in reversed(history.void) if told < size), frozenset())
    def about(self, sha256: str, kind: str) -> list[Entry]:
        """Return the statements of a kind about a subject, in order."""
        return [e for e in self.history.subjects.get((sha256, kind), []) if e.index < self.size]
    def of_kind(self, kind: str) -> list[Entry]:
        """Return the statements of a kind, in order."""
        return [e for e in self.history.kinds.get(kind, []) if e.index < self.size]
    def sound(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those that are not void."""
        return [entry for entry in entries if entry.index not in self.void]
    def find(self, digest: object, kind: str) -> Entry | None:
        """Return the statement with that payload digest, if it is of that kind."""
        entry = self.history.digests.get(digest) if isinstance(digest, str) else None
        return entry if entry and entry.index < self.size and entry.kind == kind else None
def read_trust(raw: bytes) -> Trust:
    """(1) Read the trust root: the log's and the owner's first keys; in its second form also what was seen last."""
    try:
        body = read_json(raw, "the trust root", MAX_TRUST, one_form=False)
        root, seen = body.get("root", {"version": 1, "digest": ""}), body.get("seen", {"size": 0, "root": ""})
        pins = (root["version"], root["digest"]), (seen["size"], seen["root"])
        trust = Trust(body["origin"], read_base64(body["log_key"], "log_key"), body["owner_key"], *pins)
    except (Refused, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"the trust root cannot be read: {error}") from None
    form = {"custody-trust/1": 4, "custody-trust/2": 6}.get(str(body.get("format"))) == len(body)
    fits = form and len(root) == len(seen) == 2 and len(trust.log_key) == 32 and isinstance(trust.origin, str)
    for (number, text), least in zip(pins, (1, 0), strict=True):
        fits = fits and whole(number) is not None and number >= least
        fits = fits and (text == "" if number == least else bool(HEX.fullmatch(str(text))))
    if not fits or not HEX.fullmatch(str(trust.owner_key)):
        raise Unreadable("the trust root is not of the format 'custody-trust/1' or 'custody-trust/2'")
    return trust
def read_bundle(raw: bytes, trust: Trust, seen: tuple[int, str] = (0, "")) -> tuple[History, Roster, dict[str, int]]:
    """Steps 2 to 4: return the history, who is on record at its end, and when each witness signed its checkpoint.
    `seen` is the size and root of a checkpoint that the reader knows. Raises `Refused` or `Unreadable`.
    """
    origin, text, envelopes = _open(raw)
    require(origin == trust.origin, f"the bundle is of another log, {origin[:80]!r}, not of {trust.origin!r}")
    note = Note(text, origin)
    items: list[tuple[Entry, bytes, tuple[int, int], bytes]] = []
    for index, envelope in enumerate(envelopes):
        try:
            items.append(_open_envelope(index, envelope))
        except (Refused, Unreadable) as error:
            raise Refused(f"entry {index} cannot be read: {error}") from None
    count = len(items)
    require(count == note.size, f"the checkpoint covers {note.size} entries; the bundle has {count}")
    tree, roster = Tree([leaf for _, leaf, _, _ in items]), Roster(trust.origin, trust.owner_key, trust.log_key)
    same = tree.root(note.size) == note.root  # (4)
    require(same, "the entries do not give the checkpoint's root: one was altered, replaced or moved")
    for size, root in (trust.seen, seen):
        require(size <= count, f"the ledger was cut short: {size} entries were seen before, it has {count}")
        same = not size or tree.root(size) == root
        require(same, f"the first {size} entries are not those seen before: history was rewritten")
    entries, signed = [], []
    for entry, _, numbers, payload in items:  # (3)
        try:
            admitted, key = roster.admit(entry)
        except Refused as error:
            raise Refused(f"entry {entry.index} does not count: {error}") from None
        entries.append(admitted)
        signed.append((key, numbers, b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD, len(payload), payload)))
    wrong = first_wrong(signed)
    require(wrong is None, f"entry {wrong} does not count: the signature does not fit the statement")
    newest, (version, digest) = roster.roots[-1], trust.root
    known = newest.version >= version and roster.roots[version - 1].digest == digest
    require(known, f"the history does not pass through version {version} of the trust root, which you know")
    witnesses = note.signers(newest.log_key, newest.witnesses)
    return History(entries, tree, origin, roster.void), roster, witnesses
def _open(raw: bytes) -> tuple[str, str, list[bytes]]:
    """Return origin, checkpoint and envelopes, each envelope in its one form, in whatever JSON the bundle came.
    As Custody writes it, the envelopes are lines between a head and an end, and are not parsed here.
    """
    head, _, rest = raw.partition(b"\n")
    envelopes = rest.removesuffix(b"\n]}\n").split(b",\n")
    apart = head.endswith(b'"entries":[') and rest.endswith(b"\n]}\n") and all(map(_ENVELOPE.fullmatch, envelopes))
    body = read_json(head + b"]}" if apart else raw, "the bundle", MAX_BUNDLE, one_form=False)
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise Unreadable(f"this is not a bundle of the format {FORMAT!r}")
    fields = {"format": str, "origin": str, "checkpoint": str, "entries": list}
    require(body.keys() == fields.keys(), "the bundle has other fields than format, origin, checkpoint and entries")
    for name, of in fields.items():
        require(isinstance(body[name], of), f"the bundle's {name} has the wrong type")
    return body["origin"], body["checkpoint"], envelopes if apart else [canonical(one) for one in body["entries"]]

class Note:
    """A checkpoint as a signed note (c2sp.org/tlog-checkpoint), whose signatures are still to be checked."""
    def __init__(self, text: str, origin: str) -> None:
        found = _NOTE.fullmatch(text)
        if not found: raise Refused("the checkpoint does not have the form of a signed note")
        require(found[1] == origin, f"the checkpoint is of another log, {found[1][:80]!r}, not of {origin!r}")
        root = read_base64(found[3], "the root hash")
        require(len(root) == 32, "the root hash does not have 32 bytes")
        self.origin, self.size, self.root = origin, int(found[2]), root.hex()
        self.body, self.lines = text[: text.index("\n\n") + 1].encode(), found[4][:-1].split("\n")
    def signers(self, log_key: bytes, witnesses: dict[str, bytes]) -> dict[str, int]:
        """(4) Return when each witness signed; the log must have signed first, and nobody else, each once, by name."""
        _, name, stamp = self.lines[0].split(" ")
        raw, ours = read_base64(stamp, "the checkpoint's signature"), _key_hash(self.origin, 1, log_key)
        require((name, raw[:4]) == (self.origin, ours), "the checkpoint is not signed by the log's key")
        require(verify_ed25519(log_key, raw[4:], self.body), "the checkpoint's signature is not by the log's key")
        found = self.cosigners(witnesses)
        alone = [line.split(" ")[1] for line in self.lines[1:]] == sorted(found)
        require(alone, "the checkpoint has a signature by no witness of the trust root, or not in their order")
        return found
    def cosigners(self, witnesses: dict[str, bytes]) -> dict[str, int]:
        """Return the times, in seconds since 1970, at which these witnesses signed (c2sp.org/tlog-cosignature)."""
        found = {}
        for line in self.lines:
            _, name, stamp = line.split(" ")
            raw, key = read_base64(stamp, "a cosignature"), witnesses.get(name, b"")
            time = int.from_bytes(raw[4:12], "big")
            message = b"cosignature/v1\ntime %d\n%s" % (time, self.body)
            fits = key and raw[:4] == _key_hash(name, 4, key) and time <= MAX_INTEGER
            if fits and verify_ed25519(key, raw[12:], message): found[name] = time
        return found
def _key_hash(name: str, algorithm: int, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + bytes([10, algorithm]) + key).digest()[:4]
def _open_envelope(index: int, envelope: bytes) -> tuple[Entry, bytes, tuple[int, int], bytes]:
    """(2) Read one envelope and the in-toto statement in it; return entry, leaf, signature (r, s) and payload."""
    found = _ENVELOPE.fullmatch(envelope)
    if not found: raise Refused("it is not an envelope that names one key and nothing else")
    coded, keyid, sig = (found[i].decode() for i in (1, 2, 3))
    payload, numbers = read_base64(coded, "the payload"), read_signature(read_base64(sig, "the signature"))
    if numbers is None: raise Refused("the signature is not in its one form")
    body = read_json(payload, "the statement", MAX_PAYLOAD)
    try:
        ((name, about),) = [(subject["name"], subject["digest"]["sha256"]) for subject in body["subject"]]
        uri, said = body["predicateType"], body["predicate"]
    except (TypeError, KeyError, ValueError):
        raise Refused("the statement has the wrong shape") from None
    stated = {"_type": STATEMENT, "subject": [{"name": name, "digest": {"sha256": about}}], "predicateType": uri}
    fits = body == {**stated, "predicate": said} and isinstance(said, dict)
    require(fits, "the statement is not of in-toto v1 with one subject and a predicate")
    named = all(isinstance(text, str) for text in (name, about, uri)) and HEX.fullmatch(about)
    require(named, "the statement's kind or subject is not named")
    require(uri in KINDS, f"{uri[:80]!r} is not a known kind of statement")
    check_fields(KINDS[uri], said)
    digest = hashlib.sha256(payload).hexdigest()
    leaf = hashlib.sha256(f"\0custody-entry/v1\n{uri}\n{digest}\n{keyid}\n".encode()).digest()
    return Entry(index, digest, name, about, KINDS[uri], said, keyid), leaf, numbers, payload

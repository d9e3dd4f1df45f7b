"""Step 3: who could say what at each index: keys, roles, rights on loan, tokens, and what was taken back.

Rules in words: docs/reference/roster.md. Order is the ledger's alone; persons count, names and keys do not.
"""

import hashlib
from collections import namedtuple
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from custody_verify.curves import Affine, is_weak, read_public_key, verify_p256
from custody_verify.strict import Refused, canonical, expired, read_base64, read_time, require, whole
from custody_verify.vocabulary import ROLES, may_say

SERVICE_ROLES = frozenset({"data_engineer", "ml_engineer", "validator", "operator"})
EMERGENCY_ROLES, EMERGENCY = frozenset({"operator", "security_manager"}), timedelta(hours=4)
NONE: frozenset[Any] = frozenset()
Loan = tuple[frozenset[str], str, frozenset[int]]  # roles, until when, and the entries that this rests on

class Entry(namedtuple("Entry", "index digest name about kind said keyid actor person roles", defaults=("", "", NONE))):
    """One statement on the ledger, signed by someone who could say so. `about` is the subject's sha256."""
    index: int

Person = namedtuple("Person", "name person roles key keyid account rests by ends", defaults=("person", NONE, "", ""))
"""A name on record, and the entries that put it there; a token has who delegated it, and an end."""

Root = namedtuple("Root", "version expires log_key owners threshold witnesses quorum digest")
"""One version of the trust root; `owners` by key id, `witnesses` by name."""

class Roster:
    """Who is on record after some number of entries."""
    def __init__(self, origin: str, owner_key: str, log_key: bytes) -> None:
        self.origin, self.owner_key = origin, owner_key
        self.roots = [Root(1, "", log_key, {}, 1, {}, 0, "")]
        self.people: dict[str, Person] = {}
        self.void: list[tuple[int, frozenset[int]]] = []  # each revocation, and all that is void by then
        self._entries: dict[str, Entry] = {}
        self._signed: list[tuple[str, frozenset[int]]] = []  # of each entry: its key, what its signer's right rests on
        self._names: dict[str, tuple[str, str]] = {}  # name -> person and account, for good
        self._keys: dict[str, str] = {}  # key id -> name, for good
        self._lost: set[str] = set()  # keys that sign nothing any more: revoked or replaced
        self._since: dict[str, int] = {}  # key id -> the entry from which on it was compromised
        self._grants: dict[str, list[Loan]] = {}
        self._emergencies: dict[str, list[Loan]] = {}
        self._pending: dict[str, tuple[Entry, set[str], set[int]]] = {}  # what waits, who is for it, on what it rests
        self._effects: dict[str, Callable[[Entry], None]] = {
            "actor-enrolment": self._enrol, "access-grant": self._grant, "delegation": self._delegate,
            "trust-root": self._install, "key-revocation": self._revoke, "countersignature": self._countersign,
            "use-case": lambda _: require(self.roots[-1].threshold == 1, "one owner alone cannot change the policy"),
            "access-review": lambda e: require(e.said["verdict"] in ("upheld", "disputed"), "it has no verdict"),
        }
    def admit(self, entry: Entry) -> tuple[Entry, Affine]:
        """Return the entry with its signer, and the key that must have signed it; raises `Refused`."""
        if entry.index == 0:
            require(entry.kind == "actor-enrolment", "the ledger does not begin with its owner's enrolment")
            owner = _enrolled(entry)
            ours = owner.keyid == self.owner_key == entry.keyid and entry.said["status"] == "active"
            require(ours and owner.account == "person", "the ledger's owner is not the one in the trust root")
            self.roots[0].owners[owner.keyid] = self.people[owner.name] = owner
        signer = self.people.get(self._keys.get(entry.keyid, "")) if entry.index else owner
        if not signer or signer.keyid != entry.keyid:
            raise Refused(f"it is signed by a key that is not on record ({entry.keyid[:12]})")
        again = entry.digest in self._entries  # else whoever holds the log's key could use somebody's old word again
        require(not again, "it repeats an earlier entry word for word: a replay")
        roles, rests = self._rights(signer, entry) if entry.index else (signer.roles, NONE)
        entry = entry._replace(actor=signer.name, person=signer.person, roles=roles)
        self._signed.append((entry.keyid, rests))
        if effect := self._effects.get(entry.kind): effect(entry)
        self._entries[entry.digest] = entry
        return entry, signer.key
    def _own(self, person: Person) -> frozenset[str]:
        """Return somebody's roles, grants aside; from its second version on, the trust root alone makes owners."""
        root, own = self.roots[-1], frozenset[str](person.roles)
        owns = person.keyid in root.owners and root.owners[person.keyid].name == person.name
        return own if root.version == 1 else own - {"owner"} | ({"owner"} if owns else NONE)
    def _rights(self, signer: Person, entry: Entry) -> tuple[frozenset[str], frozenset[int]]:
        """Return the roles in effect for a statement; the last resort is an emergency right, for this one time."""
        at = entry.said.get("at")
        if entry.kind == "training-finish":  # it has no clock of its own
            definition = entry.said["buildDefinition"].get("internalParameters")
            start = self._entries.get(str(definition.get("start"))) if isinstance(definition, dict) else None
            at = start.said["at"] if start and start.kind == "training-start" else ""
        require(not signer.by or not expired(signer.ends, at), f"the token {signer.name} ended {signer.ends}")
        own, emergencies = self._own(signer), self._emergencies.get(signer.name, [])
        loans = [loan for loan in self._grants.get(signer.name, []) if not expired(loan[1], at)]
        if not may_say(own.union(*[loan[0] for loan in loans]), entry.kind):
            taken = [loan for loan in emergencies if not expired(loan[1], at) and may_say(loan[0], entry.kind)][:1]
            self._emergencies[signer.name] = [loan for loan in emergencies if not taken or loan is not taken[0]]
            loans += taken
        roles = own.union(*[loan[0] for loan in loans])
        require(may_say(roles, entry.kind), f"{signer.name} may not say {entry.kind}")
        return roles, signer.rests.union(*[loan[2] for loan in loans])
    def _check(self, person: Person) -> None:
        """Refuse somebody whose name or key was another's, or returns, or who holds what such an account cannot."""
        name, account, other = person.name, person.account, self._keys.get(person.keyid, person.name)
        require(other == name, f"{name} has the same key as {other}")
        require(person.keyid not in self._lost, f"the key of {name} was revoked or replaced before")
        same = self._names.get(name, (person.person, account)) == (person.person, account)
        require(same and not (account == "token" and name in self._names), f"the name {name} was somebody else's")
        require(account == "person" or person.roles <= SERVICE_ROLES, f"a {account} cannot hold these roles")
        standing = {one.person for one in self.people.values() if one.account == "person"}
        require(account != "service" or person.person in standing, f"{name} is a service of nobody on record")
    def _put(self, person: Person) -> None:
        """Take somebody into the list; the key they had before is lost, and their tokens shrink with their roles."""
        old = self.people.get(person.name)
        if old and old.keyid != person.keyid: self._lost.add(old.keyid)
        self.people[person.name], self._keys[person.keyid] = person, person.name
        self._names[person.name] = (person.person, person.account)
        self._trim(person.name, person.roles)
    def _trim(self, name: str, roles: frozenset[str]) -> None:
        for token in [person for person in self.people.values() if person.by == name]:
            self.people[token.name] = token._replace(roles=token.roles & roles)
            if token.roles.isdisjoint(roles): self._lost.add(self.people.pop(token.name).keyid)
    def _drop(self, name: str) -> None:
        """Take a name off the list, with its key, its tokens and what was granted to it."""
        if name in self.people: self._lost.add(self.people.pop(name).keyid)
        self._trim(name, NONE)
        self._grants.pop(name, None)
        self._emergencies.pop(name, None)
    def _owners(self, without: str = "") -> set[str]:
        """Return the persons who own the ledger and whose key still signs."""
        live = [owner for owner in self.roots[-1].owners.values() if owner.keyid not in self._lost]
        return {owner.person for owner in live if owner.name != without and owner.name in self.people}
    def _check_loss(self, name: str) -> None:
        owns = any(owner.name == name for owner in self.roots[-1].owners.values())
        enough = not owns or len(self._owners(without=name)) >= self.roots[-1].threshold
        require(enough, f"without {name} no new root could be signed")
    def _waits(self, entry: Entry) -> bool:
        """Tell whether an enrolment or grant has to be confirmed by other owners first."""
        if self.roots[-1].threshold > 1 and entry.digest not in self._entries:
            self._pending[entry.digest] = entry, {entry.person}, {entry.index}
        return entry.digest in self._pending
    def _enrol(self, entry: Entry, rests: frozenset[int] = NONE) -> None:
        person = _enrolled(entry)._replace(rests=rests or frozenset({entry.index} - {0}))
        if entry.said["status"] == "revoked":
            self._check_loss(person.name)
            self._drop(person.name)
            self._pending = {d: one for d, one in self._pending.items() if one[0].said["name"] != person.name}
            return
        owners = [owner for owner in self.roots[-1].owners.values() if owner.name == person.name]
        same = not owners or (owners[0].keyid, owners[0].person) == (person.keyid, person.person)
        require(same, f"{person.name} is an owner: only a new root changes an owner's key")
        self._check(person)
        if not self._waits(entry): self._put(person)
    def _grant(self, entry: Entry, rests: frozenset[int] = NONE) -> None:
        said, roles, emergency = entry.said, _roles(entry.said["roles"]), entry.said["emergency"]
        name, to, signer = said["name"], self.people.get(said["name"]), self.people[entry.actor]
        owners = {person.person for person in self.people.values() if "owner" in self._own(person)}
        require(said["status"] in ("granted", "withdrawn"), "the grant is neither granted nor withdrawn")
        require(emergency or signer.person in owners, f"{signer.name} owns nothing here and can grant no role")
        if said["status"] == "withdrawn":
            require(not emergency, "an emergency grant is not withdrawn")
            left = [(held - roles, ends, on) for held, ends, on in self._grants.get(name, [])]
            self._grants[name] = [loan for loan in left if loan[0]]
            return
        begins, ends = read_time(said["at"]), read_time(said["expires"])
        if not begins or not ends or ends <= begins: raise Refused("a grant must end, and after it was made")
        if not to or to.account == "token" or not roles: raise Refused(f"nothing can be granted to {name}")
        require(roles.isdisjoint({"owner", "custodian"}), "the roles owner and custodian are never granted")
        require(to.account != "service" or roles <= SERVICE_ROLES, "a service account cannot hold these roles")
        loan = roles, said["expires"], rests or frozenset({entry.index})
        if emergency:
            require(name == signer.name and to.account == "person", "in an emergency each acts for themself alone")
            require(roles <= EMERGENCY_ROLES and ends - begins <= EMERGENCY, "that is more than an emergency gives")
            self._emergencies.setdefault(name, []).append(loan)
            return
        other = to.person != signer.person or len(owners) == 1
        require(other, "an owner grants themself nothing while there is another one")
        if not self._waits(entry): self._grants.setdefault(name, []).append(loan)
    def _countersign(self, entry: Entry) -> None:
        """Let a second person confirm; the last owner whose word was needed puts what waited into effect."""
        target = self._entries.get(entry.said["of"])
        fits = target and (target.about, target.name) == (entry.about, entry.name) and target.person != entry.person
        require(fits, "it countersigns nothing that somebody else said before about the same subject")
        waiting = self._pending.get(entry.said["of"])
        if not target or not waiting or "owner" not in self._own(self.people[entry.actor]): return
        waiting[1].add(entry.person)
        waiting[2].add(entry.index)
        if len(waiting[1] & self._owners()) < self.roots[-1].threshold: return
        del self._pending[target.digest]
        try:
            (self._enrol if target.kind == "actor-enrolment" else self._grant)(target, frozenset(waiting[2]))
        except (Refused, KeyError):
            return  # what was possible when it was asked for is not any more
    def _install(self, entry: Entry) -> None:
        """Take a new trust root: signed by enough persons of the old one, and by enough of its own."""
        old, said = self.roots[-1], entry.said
        listed = [_texts(item, "name person keyid key") for item in said["owners"]]
        owners = [Person(o["name"], o["person"], frozenset({"owner"}), *_key(o)) for o in listed]
        witnesses = {w["name"]: w["key"] for w in [_texts(item, "name key") for item in said["witnesses"]]}
        keys = [owner.keyid for owner in owners] + [*witnesses.values(), said["log_key"]]
        twice = len({owner.name for owner in owners}) < len(owners) or len(witnesses) < len(said["witnesses"])
        require(not twice and len(set(keys)) == len(keys), "the trust root names somebody or a key twice")
        raw = {name: read_base64(key, "a key") for name, key in [*witnesses.items(), ("\n", said["log_key"])]}
        require(not any(is_weak(key) for key in raw.values()), "the trust root has a key that accepts forgeries")
        names = ("version", "expires", "log_key", "owners", "threshold", "witnesses", "quorum")
        message = b"custody-trust-root/v1\n" + canonical({"origin": self.origin, **{n: said[n] for n in names}})
        held, log_key, digest = {one.keyid: one for one in owners}, raw.pop("\n"), hashlib.sha256(message).hexdigest()
        new = Root(said["version"], said["expires"], log_key, held, said["threshold"], raw, said["quorum"], digest)
        require(new.version == old.version + 1, f"trust root {new.version} cannot follow root {old.version}")
        require(not new.expires or read_time(new.expires), "the trust root's end is no moment with a time zone")
        fits = 1 <= new.threshold <= len({owner.person for owner in owners}) and 0 <= new.quorum <= len(witnesses)
        require(fits, "the trust root asks for more persons or witnesses than it names")
        signed: set[str] = set()
        for stamp in [_texts(item, "keyid sig") for item in said["signatures"]]:
            keyid, signer = stamp["keyid"], old.owners.get(stamp["keyid"]) or new.owners.get(stamp["keyid"])
            counts = signer and keyid not in self._lost and keyid not in signed
            require(counts, f"trust root {new.version} is signed by a key that does not count ({keyid[:12]})")
            good = verify_p256(signer.key, read_base64(stamp["sig"], "a signature"), message)
            require(good, f"a signature of trust root {new.version} does not fit")
            signed.add(keyid)
        for root in (old, new):
            count = len({owner.person for owner in root.owners.values() if owner.keyid in signed})
            reason = f"trust root {new.version} needs {root.threshold} owners of root {root.version}; {count} signed"
            require(count >= root.threshold, reason)
        for owner in owners: self._check(owner)
        self._pending.clear()
        self.roots.append(new)
        for owner in owners:
            before = self.people.get(owner.name, owner)
            self._put(owner._replace(roles=before.roles | {"owner"}, rests=before.rests))
    def _revoke(self, entry: Entry) -> None:
        name, keyid, since = entry.said["name"], entry.said["keyid"], entry.said["compromised_since"]
        require(self._keys.get(keyid) == name, f"{name} never had the key {keyid[:12]}")
        possible = since is None or 0 < (whole(since) or 0) <= entry.index
        require(possible, f"a key cannot be compromised since entry {since}, seen from entry {entry.index}")
        if name in self.people and self.people[name].keyid == keyid:
            self._check_loss(name)
            self._drop(name)
        self._lost.add(keyid)
        if since is None: return
        self._since[keyid] = min(since, self._since.get(keyid, since))
        void: set[int] = set()
        for index, (key, rests) in enumerate(self._signed):  # with a thief fall all who stand by the thief's word
            if self._since.get(key, index + 1) <= index or not rests.isdisjoint(void): void.add(index)
        self.void.append((entry.index, frozenset(void)))
        for person in list(self.people.values()):
            if person.rests.isdisjoint(void) or person.name not in self.people: continue
            if person.keyid in self.roots[-1].owners:
                self._put(person._replace(roles=frozenset({"owner"}), rests=NONE))
            else:
                del self.people[person.name]
                self._trim(person.name, NONE)
        for held in (self._grants, self._emergencies):
            for name, loans in held.items(): held[name] = [loan for loan in loans if loan[2].isdisjoint(void)]
        self._pending = {digest: one for digest, one in self._pending.items() if void.isdisjoint(one[2])}
    def _delegate(self, entry: Entry) -> None:
        said, signer, token = entry.said, self.people[entry.actor], self.people.get(entry.said["name"])
        if said["status"] == "revoked":
            if not token or not token.by or token.keyid != said["keyid"]: raise Refused("there is no such token")
            may = token.by == entry.actor or "owner" in self._own(signer)
            require(may, f"{entry.actor} did not delegate {said['name']}")
            self._drop(said["name"])
            return
        require(said["status"] == "active" and not signer.by, "nobody delegates what was delegated to them")
        roles, rests, by = _roles(said["roles"]), frozenset({entry.index}), entry.actor
        token = Person(said["name"], entry.person, roles, *_key(said), "token", rests, by, said["expires"])
        require(roles and roles <= signer.roles & SERVICE_ROLES, f"{by} cannot delegate these roles")
        require(read_time(said["expires"]), "a token must end")
        self._check(token)
        self._put(token)
def _enrolled(entry: Entry) -> Person:
    said, account = entry.said, entry.said.get("account", "person")
    require(said["status"] in ("active", "revoked"), f"the status of {said['name']} is neither active nor revoked")
    require(account in ("person", "service"), f"the account of {said['name']} is neither person nor service")
    return Person(said["name"], said["person"], _roles(said["roles"]), *_key(said), account)
def _texts(item: Any, names: str) -> dict[str, str]:
    fits = isinstance(item, dict) and set(item) == set(names.split())
    require(fits and all(isinstance(text, str) and text for text in item.values()), f"something is not just {names}")
    return dict(item)
def _roles(listed: list[Any]) -> frozenset[str]:
    require(all(isinstance(role, str) and role in ROLES for role in listed), "it names an unknown role")
    return frozenset(listed)
def _key(said: dict[str, Any]) -> tuple[Affine, str]:
    try:
        point, keyid = read_public_key(said["key"])
    except ValueError as error:
        raise Refused(f"{said['name']}: {error}") from None
    require(keyid == said["keyid"], f"the key id of {said['name']} does not fit the key")
    return point, keyid

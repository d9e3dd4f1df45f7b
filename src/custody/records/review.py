"""What a review of access finds: rights unused or ending, held together by one person, taken in an emergency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import GRANTS, Action, may_write
from custody.core.actor import Actor, Role
from custody.core.circumstances import context_of, describe
from custody.core.evidence import Evidence, Record
from custody.core.moments import end, expired, moment
from custody.core.permission import Rules
from custody.desk import CUSTODIAN
from custody.records.rights import Holding, Moment, holdings
from custody.roster.book import SERVICE, TOKEN

DAYS = 90
"""How often all access is reviewed, and how long a right may lie unused."""
SOON = 14
"""How many days before its end a right is worth a word."""
PARTS: Mapping[str, Action] = {
    "author": Action.SEAL,
    "trainer": Action.START_RUN,
    "validator": Action.VALIDATE,
    "data": Action.REGISTER_DATA,
}
"""By which action somebody comes to play a part."""
_TRAINS, _SERVES = frozenset({Role.ML_ENGINEER}), frozenset({Role.OPERATOR})


@dataclass(frozen=True)
class Finding:
    """Something a reviewer should look at. `kind` is unused, conflict, ending, ended, emergency, account or review."""

    kind: str
    who: str
    what: str
    entry: int | None
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that is shown."""
        return {"kind": self.kind, "who": self.who, "what": self.what, "entry": self.entry, "next": self.command}


def review(then: Moment, rules: Rules, days: int = DAYS) -> list[Finding]:
    """Return what a review of all access finds at one moment; an empty list says that all is well."""
    held = [holding for holding in holdings(then) if holding.name != CUSTODIAN]
    return [
        *emergencies(then.record),
        *_conflicts(then, rules, held),
        *_two_places(then, held),
        *_orphans(then),
        *_unused(then, held, days),
        *_ending(then, held),
        *_ended(then.record, then.at),
        *_overdue(then.record, then.at),
    ]


def emergencies(record: Record) -> list[Finding]:
    """Return the emergencies that nobody reviewed, or that the newest review disputes."""
    found: list[Finding] = []
    for entry in record.of_kind(kinds.GRANT):
        if not entry.predicate["emergency"]:
            continue
        reviews = [
            review
            for review in record.of_kind(kinds.ACCESS_REVIEW)
            if review.predicate["of"] == entry.digest
            and review.person != entry.person
            and "security_manager" in review.roles
            and not (review.predicate["verdict"] == "upheld" and review.index in record.void)
        ]
        verdict = reviews[-1].predicate["verdict"] if reviews else ""
        if verdict == "upheld":
            continue
        how = "disputed" if verdict else "not reviewed"
        what = f"{entry.actor} broke the glass as {', '.join(entry.predicate['roles'])}: "
        what += f"{entry.predicate['reason']} ({how})"
        command = f'custody access review --of {entry.index} --verdict upheld --reason "..."'
        found.append(Finding("emergency", entry.actor, what, entry.index, command))
    return found


def due(record: Record, days: int = DAYS) -> tuple[Evidence | None, datetime | None]:
    """Return the last signed review of all access, and when the next is due."""
    signed = [entry for entry in record.of_kind(kinds.ACCESS_REVIEW) if not entry.predicate["of"]]
    last = signed[-1] if signed else None
    since = moment((last or record.entries[0]).at) if len(record.entries) else None
    return last, since + timedelta(days=days) if since else None


@dataclass(frozen=True)
class AccessState:
    """How access stands: `state` is met, not_met or unknown; `findings` are what has to be done about it."""

    state: str
    sentence: str
    entries: tuple[int, ...]
    findings: Sequence[Finding]


def access_state(record: Record, at: str) -> AccessState:
    """Tell whether the last review of all access is young enough, and no emergency waits for its review."""
    now = moment(at)
    if now is None or not record.entries:
        return AccessState("unknown", "no moment to judge by", (), ())
    late, broken = _overdue(record, now), emergencies(record)
    last, when = due(record)
    entries = tuple(item.entry for item in broken if item.entry is not None)
    if broken:
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        disputed = any("(disputed)" in item.what for item in broken)
        state = "not_met" if disputed or late else "unknown"
        return AccessState(state, broken[-1].what + more, entries, [*broken, *late])
    if late:
        return AccessState("not_met", late[0].what, (last.index,) if last else (), late)
    by = f"all access was reviewed by {last.person}" if last else "no review is due yet"
    until = when.date().isoformat() if when else ""
    return AccessState("met", f"{by}; the next is due {until}", (last.index,) if last else (), ())


def _overdue(record: Record, at: datetime) -> list[Finding]:
    last, when = due(record)
    if when is not None and at < when:
        return []
    entry = last.index if last else None
    since = f"since entry {entry}" if last else "ever"
    what = f"no review of all access was signed {since}, and one is due every {DAYS} days"
    return [Finding("review", "security_manager", what, entry, "custody access review --sign")]


def conflicting(rules: Rules, then: Moment) -> dict[tuple[Action, Action], str]:
    """Return the pairs of actions that the rules in force keep apart in this project, with the rule."""
    everything = Actor("everybody", "everybody", frozenset(Role), "", "")
    told = {"purpose": "evaluation", "second_person": True, "clearance": 2**31}
    found: dict[tuple[Action, Action], str] = {}
    for action in Action:
        where = describe(then.record, rules.type_of(action), "")
        plain = {**context_of(then.record, "", action, "", then.at, told), "parts": []}
        if plain["solo"] or not rules.judge(everything, action, where, plain).allowed:
            continue
        for part, played in PARTS.items():
            access = rules.judge(everything, action, where, {**plain, "parts": [part]})
            if not access.allowed and played is not action:
                found[played, action] = access.rule
    return found


def _conflicts(then: Moment, rules: Rules, held: list[Holding]) -> list[Finding]:
    """Compare what each person holds under all their names with the pairs that the rules keep apart."""
    roles: dict[str, set[Role]] = {}
    for holding in held:
        if holding.how != "emergency":  # that one is looked at by itself
            roles.setdefault(holding.person, set()).add(holding.role)
    pairs: dict[tuple[str, str], list[str]] = {}
    for (first, second), rule in conflicting(rules, then).items():
        for person, mine in roles.items():
            for one in sorted(mine & GRANTS[first]):
                for other in sorted(mine & GRANTS[second]):
                    if one != other:
                        key = (person, " and ".join(sorted((one, other))))
                        pairs.setdefault(key, []).append(f"{first} and {second} ({rule})")
    return [
        Finding(
            "conflict",
            person,
            f"{person} is {both}: {'; '.join(sorted(set(why))[:3])}",
            None,
            "custody init person NAME --role ROLE leaves one of them",
        )
        for (person, both), why in sorted(pairs.items())
    ]


def _two_places(then: Moment, held: list[Holding]) -> list[Finding]:
    """Find service accounts and tokens that both train and serve."""
    found: list[Finding] = []
    for name in sorted({holding.name for holding in held}):
        account = then.roster.book.holders[name].account
        roles = {holding.role for holding in held if holding.name == name}
        if account in (SERVICE, TOKEN) and roles & _TRAINS and roles & _SERVES:
            what = f"the {account} {name} trains and serves: production has an identity of its own"
            found.append(Finding("account", name, what, None, f"custody init person {name} --role operator"))
    return found


def _orphans(then: Moment) -> list[Finding]:
    """Find service accounts whose sponsor was taken off the list: unlike a token, they go on by themselves."""
    standing = then.roster.book.persons()
    return [
        Finding(
            "account",
            name,
            f"the service account {name} still acts, and {holder.actor.person}, who answers for it, left the list",
            None,
            f"custody keys revoke {name}",
        )
        for name, holder in sorted(then.roster.book.holders.items())
        if holder.account == SERVICE and holder.actor.person not in standing
    ]


def _unused(then: Moment, held: list[Holding], days: int) -> list[Finding]:
    """Find roles that leave statements, were held for `days` and left none in that time."""
    since = then.at - timedelta(days=days)
    found: list[Finding] = []
    for holding in held:
        began = moment(holding.since)
        if holding.role in (Role.OWNER, Role.AUDITOR) or holding.how == "emergency" or began is None or began > since:
            continue
        role = replace(then.roster.actors[holding.name], roles=frozenset({holding.role}))
        last = max(
            (
                entry.index
                for entry in then.record.entries[holding.entry :]
                if entry.actor == holding.name and may_write(role, entry.kind) and end(entry.at) > since
            ),
            default=None,
        )
        if last is None:
            undo = f'custody access withdraw {holding.name} --role {holding.role} --reason "unused"'
            command = undo if holding.how == "grant" else f"custody init person {holding.name} --role ROLE"
            what = f"{holding.name} did nothing as {holding.role} for {days} days ({holding.sentence()})"
            found.append(Finding("unused", holding.name, what, holding.entry, command))
    return found


def _ending(then: Moment, held: list[Holding]) -> list[Finding]:
    soon = (then.at + timedelta(days=SOON)).isoformat()
    return [
        Finding("ending", h.name, f"{h.name} is {h.sentence()}", h.entry, _longer(then, h))
        for h in held
        if h.until and h.how != "emergency" and expired(h.until, soon) and not _lasts(held, h, soon)
    ]


def _lasts(held: list[Holding], one: Holding, soon: str) -> bool:
    """Tell whether the same name holds the same role by another right that does not end soon."""
    same = [h for h in held if (h.name, h.role) == (one.name, one.role) and h.how != "emergency"]
    return any(not h.until or not expired(h.until, soon) for h in same)


def _longer(then: Moment, held: Holding) -> str:
    """Return the command that gives a right that ends soon for longer: a token gets a new one, under a new name."""
    if then.roster.book.holders[held.name].account == TOKEN:
        return f"custody access delegate NAME --role {held.role} --until DAY --as {held.person}"
    return f'custody access grant {held.name} {held.role} --until DAY --reason "..."'


def _ended(record: Record, at: datetime) -> list[Finding]:
    """Return the grants and tokens that ended since the last signed review."""
    last, _ = due(record)
    found: list[Finding] = []
    for kind, status, what in ((kinds.GRANT, "granted", "grant"), (kinds.DELEGATION, "active", "token")):
        for entry in record.of_kind(kind):
            said = entry.predicate
            ends = str(said["expires"])
            over = said["status"] == status and not said.get("emergency") and expired(ends, at.isoformat())
            if over and (last is None or end(ends) > end(last.at)):
                line = f"the {what} of {', '.join(said['roles'])} to {said['name']} ended {ends}"
                found.append(Finding("ended", str(said["name"]), line, entry.index, "nothing: it counts no more"))
    return found

"""Who holds which right, by which entry, until when, and whether they used it; now or at an earlier moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import WRITES, Access, Action, decide
from custody.core.actor import Actor, Role
from custody.core.cedar.engine import Entity, value_of
from custody.core.cedar.grid import grid
from custody.core.cedar.syntax import Uid
from custody.core.circumstances import context_of, describe
from custody.core.evidence import Evidence, Record
from custody.core.moments import end, expired, moment
from custody.core.permission import ACCESS_ONLY, Resource
from custody.core.subject import Subject
from custody.desk import CUSTODIAN, Desk
from custody.errors import InvalidInput, NotFound
from custody.records.lineage import find_model, models
from custody.roster import Roster
from custody.roster.book import TOKEN

_RESULTS = {
    Action.CHECK_DATA: ("data",),
    Action.SCAN: ("artifact",),
    Action.VALIDATE: ("artifact", "validation"),
    Action.WATCH: ("runtime",),
}
"""Several actions leave check results; the stage in them tells which it was."""
_LEFT_BY = {Action.APPEND_DATA: Action.REGISTER_DATA, Action.MODIFY_DATA: Action.REGISTER_DATA}
"""Changed data are registered anew: that is the entry which changing them leaves."""
ABOUT_A_MODEL = ("Model", "Output", "Deployment")


@dataclass(frozen=True)
class Moment:
    """The record and the people as they were after `size` entries, with the time that is asked about."""

    record: Record
    roster: Roster
    at: datetime

    @property
    def size(self) -> int:
        """Return how many entries there were."""
        return len(self.record.entries)


@dataclass(frozen=True)
class Holding:
    """One role somebody holds, and how they came by it."""

    name: str
    person: str
    role: Role
    how: str
    """enrolment, grant, delegation, emergency, or trust root."""
    entry: int
    by: str
    since: str
    until: str
    """When it ends; "" where it has no end."""

    def sentence(self) -> str:
        """Return the right in words."""
        ends = f", until {self.until}" if self.until else ""
        return f"{self.role} by {self.how} of {self.by} [{self.entry}]{ends}"


@dataclass(frozen=True)
class Able:
    """Somebody who may do what was asked about, every right that gives it to them, and when they used it."""

    name: str
    person: str
    access: Access
    holdings: Sequence[Holding]
    used: Sequence[int] | None
    """Entries the action left; None where it leaves none, so nobody can know."""

    @property
    def until(self) -> str:
        """Return when the last of the rights ends; "" where one has no end."""
        ends = [holding.until for holding in self.holdings]
        return "" if "" in ends else max(ends, key=end, default="")


def moment_of(desk: Desk, at: str = "") -> Moment:
    """Read `at`: "" for now, an entry's number for right after it, a date for its end, or a moment (ISO 8601).

    What happened by a date is told by the clocks of those who signed, so it is as good as those.
    """
    record, now = desk.read(), moment(desk.time())
    if now is None:
        raise InvalidInput("the clock cannot be read")
    if not at:
        return Moment(record, desk.roster(), now)
    if at.isdigit():
        size = int(at) + 1
        if size > record.size:
            raise NotFound(f"there is no entry {at}; the newest is {record.size - 1}")
        times = [found for entry in record.entries[:size] if (found := moment(entry.at)) is not None]
        when = max(times, default=now)
    else:
        asked = moment(f"{at}T23:59:59+00:00") if len(at) == 10 else moment(at)
        if asked is None:
            raise InvalidInput(
                f"{at!r} is no moment", hint="an entry's number, 2026-03-01, or 2026-03-01T12:00:00+00:00"
            )
        when = asked
        size = 1 + max((e.index for e in record if (found := moment(e.at)) is not None and found <= when), default=-1)
        if not size:
            raise NotFound(f"the ledger begins after {at}")
    earlier = Record(tuple(record.entries[:size]), size, "", {}, frozenset())
    return Moment(earlier, desk.roster_at(size), when)


def what(then: Moment, kind: str, use_case: str, name: str) -> tuple[Resource, Subject | None]:
    """Find what an action is done to: a dataset by NAME, NAME@v2 or digest, a model by digest or run, or any id."""
    if not name:
        return describe(then.record, kind, ""), None
    if kind in ABOUT_A_MODEL:
        subject = find_model(then.record, use_case, name).subject
        return describe(then.record, kind, subject.sha256), subject
    if kind == "Dataset":
        subject = _dataset(then.record, name)
        return describe(then.record, kind, subject.sha256), subject
    return replace(describe(then.record, kind, ""), id=name), None


def _dataset(record: Record, name: str) -> Subject:
    """Find one version of a dataset; versions are counted by content, in order of the ledger."""
    plain, _, number = name.partition("@v")
    found = record.of_kind(kinds.DATASET)
    versions: dict[str, Subject] = {}
    for entry in found:
        if entry.subject.name == plain:
            versions.setdefault(entry.subject.sha256, entry.subject)
    if not versions and len(name) >= 6:
        versions = {e.subject.sha256: e.subject for e in found if e.subject.sha256.startswith(name)}
        number = ""
    if not versions:
        known = ", ".join(sorted({entry.subject.name for entry in found})) or "none"
        raise NotFound(f"dataset {name!r} is not on record", hint=f"known: {known}")
    listed = list(versions.values())
    if number and not (number.isdigit() and 1 <= int(number) <= len(listed)):
        raise NotFound(f"{plain} has {len(listed)} versions on record, not {number!r}")
    return listed[int(number) - 1] if number else listed[-1]


def holdings(then: Moment, *, name: str = "") -> list[Holding]:
    """List every role that is held, each with the newest entry that gave it, in order of name."""
    found: list[Holding] = []
    at = then.at.isoformat()
    for who in [name] if name else sorted(then.roster.actors):
        actor, holder = then.roster.actors[who], then.roster.book.holders[who]
        own = _given(then.record, who, token=holder.account == TOKEN)
        how = "delegation" if holder.account == TOKEN else "enrolment"
        for role in sorted(actor.roles):
            entry = own.get(role) or _root(then.record, who) or then.record.entries[0]
            how_now = "trust root" if entry.kind == kinds.TRUST_ROOT else how
            found.append(Holding(who, actor.person, role, how_now, entry.index, entry.actor, entry.at, holder.expires))
        for kind, grants in (
            ("grant", then.roster.rights.granted(who, at)),
            ("emergency", then.roster.rights.glass(who, at)),
        ):
            for grant in grants:
                entry = then.record.entries[grant.index]
                found += [
                    Holding(who, actor.person, role, kind, grant.index, entry.actor, entry.at, grant.expires)
                    for role in sorted(grant.roles)
                ]
    return found


def _given(record: Record, name: str, *, token: bool) -> dict[Role, Evidence]:
    """Return by role the entry since which it is held without a break."""
    kind = kinds.DELEGATION if token else kinds.ENROLMENT
    found: dict[Role, Evidence] = {}
    for entry in record.of_kind(kind):
        said = entry.predicate
        if said["name"] != name:
            continue
        roles = {Role(role) for role in said["roles"]} if said["status"] == "active" else set()
        found = {role: found.get(role, entry) for role in roles}
    return found


def _root(record: Record, name: str) -> Evidence | None:
    roots = record.of_kind(kinds.TRUST_ROOT)
    return next((e for e in reversed(roots) if any(o.get("name") == name for o in e.predicate["owners"])), None)


def uses(record: Record, name: str, action: str, since: int = 0, about: Subject | None = None) -> list[int] | None:
    """Return the entries somebody left by an action from entry `since` on; None where it leaves none.

    With `about`, only entries about those contents, or about a dataset of that name.
    """
    known = Action(action) if action in list(Action) else None
    written = WRITES[_LEFT_BY.get(known, known)] if known else frozenset()
    if known is None or not written:
        return None
    stages = _RESULTS.get(known)
    return [
        entry.index
        for entry in record.entries[since:]
        if entry.actor == name
        and entry.kind in written
        and (stages is None or entry.kind != kinds.CHECK_RESULT or entry.predicate["stage"] in stages)
        and (about is None or about.sha256 == entry.subject.sha256 or _same_data(about, entry))
    ]


def _same_data(about: Subject, entry: Evidence) -> bool:
    return entry.kind == kinds.DATASET and entry.subject.name == about.name


def decide_for(
    desk: Desk, then: Moment, name: str, action: str, where: Resource, about: Subject | None, told: Mapping[str, Any]
) -> tuple[Access, dict[str, Any]]:
    """Decide for one person at one moment; returns the circumstances it was decided under as well."""
    person = then.roster.actors[name].person
    model = about.sha256 if about is not None and where.type in ABOUT_A_MODEL else ""
    context = context_of(then.record, person, action, model, then.at, told)
    return desk.judge(then.roster, name, action, where, context, then.at.isoformat()), context


def who_can(
    desk: Desk, then: Moment, action: str, where: Resource, about: Subject | None, told: Mapping[str, Any]
) -> list[Able]:
    """List exactly those who may do `action`, by the rules in force and the people of that moment."""
    found: list[Able] = []
    for name in sorted(then.roster.actors):
        access, context = decide_for(desk, then, name, action, where, about, told)
        if not access.allowed or name == CUSTODIAN:
            continue
        holder = then.roster.book.holders[name]
        giving = [
            holding
            for holding in holdings(then, name=name)
            if desk.rules.judge(
                replace(holder.actor, roles=frozenset({holding.role})),
                action,
                where,
                context,
                account=holder.account,
                token=holder.account == TOKEN,
            ).allowed
        ]
        since = min((holding.entry for holding in giving), default=0)
        found.append(Able(name, holder.actor.person, access, giving, uses(then.record, name, action, since, about)))
    return found


def matrix(desk: Desk, then: Moment, use_case: str, actions: Sequence[str]) -> dict[tuple[str, str], list[Resource]]:
    """Return by name and action what somebody may do it to, of everything on record; own and granted roles alone.

    Things that the rules in reach treat alike are asked about once (`custody.core.cedar.grid`).
    """
    rules, at, record = desk.rules, then.at.isoformat(), then.record
    things = {
        (kind, sha256): describe(record, kind, sha256)
        for kind in rules.schema.entities
        if kind not in ("Role", "Actor")
        for sha256 in _on_record(record, kind, use_case)
    }
    actors: dict[str, Actor] = {}
    principals: list[Entity] = []
    for name, holder in sorted(then.roster.book.holders.items()):
        if name != CUSTODIAN and not (holder.account == TOKEN and expired(holder.expires, at)):
            actors[name] = then.roster.acting(name, at)
            given = {"account": holder.account, "token": holder.account == TOKEN}
            attributes = {"person": actors[name].person, **given}
            roles = frozenset(Uid("Role", str(role)) for role in actors[name].roles)
            principals.append(Entity(Uid("Actor", name), attributes, roles))

    def told(principal: Entity, action: str, thing: Entity) -> dict[str, Any]:
        model = thing.uid.id if thing.uid.type in ABOUT_A_MODEL else ""
        context = context_of(record, str(principal.attrs["person"]), action, model, then.at, {})
        return {key: value_of(value) for key, value in context.items()}

    entities = [Entity(Uid(*key), dict(thing.attributes)) for key, thing in things.items()]
    alone = {entity.uid: entity.uid if entity.uid.type in ABOUT_A_MODEL else None for entity in entities}
    found: dict[tuple[str, str], list[Resource]] = {}
    for cell in grid(rules.policies, rules.schema, principals, actions, entities, told, lambda e: alone[e.uid]):
        name = cell.principal.uid.id
        if cell.action in ACCESS_ONLY or decide(actors[name], Action(cell.action)).allowed:
            found.setdefault((name, cell.action), []).extend(things[entity.uid] for entity in cell.resources)
    return found


def _on_record(record: Record, kind: str, use_case: str) -> list[str]:
    """Return the ids of the things of one type that are on record; [""] stands for one that is new."""
    if kind == "Dataset":
        return list(dict.fromkeys(entry.subject.sha256 for entry in record.of_kind(kinds.DATASET))) or [""]
    if kind in ABOUT_A_MODEL:
        return list(dict.fromkeys(entry.subject.sha256 for entry in models(record, use_case))) or [""]
    return [""]

"""Rights that end: roles granted for a time, and broken glass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from custody.core.actor import Role
from custody.core.evidence import Evidence
from custody.core.moments import expired, moment
from custody.errors import InvalidInput, Tampered
from custody.roster.book import PERSON, SERVICE, SERVICE_ROLES, TOKEN, Holder, read_roles

EMERGENCY_ROLES = frozenset({Role.OPERATOR, Role.SECURITY_MANAGER})
EMERGENCY_HOURS = 4
NEVER_GRANTED = frozenset({Role.OWNER, Role.CUSTODIAN})


@dataclass(frozen=True)
class Grant:
    """Roles that `name` has on top of its own, in statements dated before `expires`."""

    index: int
    digest: str
    name: str
    roles: frozenset[Role]
    expires: str
    rests: frozenset[int]


@dataclass(frozen=True)
class Emergency:
    """One breaking of the glass: what it was used for, and what the reviewer made of it."""

    grant: Grant
    person: str
    used: int | None = None
    """The index of the one statement it was used for."""
    verdict: str = ""
    """Empty until reviewed, then "upheld" or "disputed": the newest review by another person counts."""


@dataclass
class Rights:
    """The grants of a ledger, by name."""

    grants: dict[str, list[Grant]] = field(default_factory=dict)
    emergencies: dict[str, Emergency] = field(default_factory=dict)
    """By the digest of the grant, in order."""

    def granted(self, name: str, at: str) -> list[Grant]:
        """Return the grants that hold for a statement of `name` dated `at`."""
        return [grant for grant in self.grants.get(name, ()) if not expired(grant.expires, at)]

    def glass(self, name: str, at: str) -> list[Grant]:
        """Return the unused emergency grants that hold for a statement of `name` dated `at`, oldest first."""
        return [
            case.grant
            for case in self.emergencies.values()
            if case.grant.name == name and case.used is None and not expired(case.grant.expires, at)
        ]

    def take(self, entry: Evidence, rests: frozenset[int]) -> None:
        """Take a checked GRANT that is in effect."""
        said = entry.predicate
        roles, name = read_roles(said["roles"]), said["name"]
        if said["status"] == "withdrawn":
            left = [replace(grant, roles=grant.roles - roles) for grant in self.grants.get(name, ())]
            self.grants[name] = [grant for grant in left if grant.roles]
            return
        grant = Grant(entry.index, entry.digest, name, roles, said["expires"], rests)
        if said["emergency"]:
            self.emergencies[entry.digest] = Emergency(grant, entry.person)
        else:
            self.grants.setdefault(name, []).append(grant)

    def use(self, grant: Grant, index: int) -> None:
        """Spend an emergency grant on one statement."""
        self.emergencies[grant.digest] = replace(self.emergencies[grant.digest], used=index)

    def review(self, entry: Evidence) -> None:
        """Take an ACCESS_REVIEW: it counts for an emergency of another person."""
        case = self.emergencies.get(entry.predicate["of"])
        if case is not None and case.person != entry.person:
            self.emergencies[case.grant.digest] = replace(case, verdict=entry.predicate["verdict"])

    def end(self, name: str) -> None:
        """End what was granted to somebody who is off the list."""
        self.grants.pop(name, None)
        for digest, case in self.emergencies.items():
            if case.grant.name == name and case.used is None:
                self.emergencies[digest] = replace(case, grant=replace(case.grant, roles=frozenset()))

    def end_void(self, void: frozenset[int]) -> None:
        """End grants that rest on a void word, unused emergencies too."""
        for name, grants in self.grants.items():
            self.grants[name] = [grant for grant in grants if grant.rests.isdisjoint(void)]
        for digest, case in self.emergencies.items():
            if case.used is None and not case.grant.rests.isdisjoint(void):
                self.emergencies[digest] = replace(case, grant=replace(case.grant, roles=frozenset()))


def check_grant(said: Mapping[str, Any], signer: Holder, to: Holder | None, owners: frozenset[str]) -> None:
    """Raise `Tampered` or `InvalidInput` unless this GRANT counts.

    `signer` holds OWNER exactly where their person is among `owners`; `to` is who is on record under the
    grant's name.
    """
    roles, name, at = read_roles(said["roles"]), said["name"], moment(said["at"])
    if said["status"] not in ("granted", "withdrawn"):
        raise InvalidInput(f"status {said['status']!r} is neither granted nor withdrawn")
    if not said["emergency"] and signer.actor.person not in owners:
        raise Tampered(f"{signer.actor.name} owns nothing here and can grant no role")
    if said["status"] == "withdrawn":
        if said["emergency"]:
            raise Tampered("an emergency grant ends by itself and is not withdrawn")
        return
    ends = moment(said["expires"])
    if at is None or ends is None or ends <= at:
        raise Tampered("a grant must end, and after it was made")
    if to is None or to.account == TOKEN or not roles:
        raise Tampered(f"{name!r} can be granted nothing: roles go to a name on record")
    if roles & NEVER_GRANTED:
        raise Tampered("the roles owner and custodian are never granted")
    if to.account == SERVICE and not roles <= SERVICE_ROLES:
        raise Tampered(f"a service account cannot hold {', '.join(sorted(roles - SERVICE_ROLES))}")
    if not said["emergency"]:
        if to.actor.person == signer.actor.person and len(owners) > 1:
            raise Tampered("an owner grants themself nothing while there is another one")
        return
    if name != signer.actor.name or signer.account != PERSON:
        raise Tampered("in an emergency each person acts for themself alone")
    if not roles <= EMERGENCY_ROLES:
        raise Tampered(f"an emergency gives no more than {', '.join(sorted(EMERGENCY_ROLES))}")
    if ends - at > timedelta(hours=EMERGENCY_HOURS):
        raise Tampered(f"an emergency lasts at most {EMERGENCY_HOURS} hours")


def check_review(said: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` unless an ACCESS_REVIEW has a verdict."""
    if said["verdict"] not in ("upheld", "disputed"):
        raise InvalidInput(f"verdict {said['verdict']!r} is neither upheld nor disputed")

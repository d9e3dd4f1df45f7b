"""Rights that change: granted for a time, withdrawn, taken in an emergency, delegated, reviewed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.actor import Role
from custody.core.cedar.read import BYTES
from custody.core.cedar.syntax import Policy
from custody.core.evidence import Evidence
from custody.core.moments import moment
from custody.core.permission import Rules
from custody.core.subject import Subject
from custody.desk import Desk, check_name
from custody.errors import InvalidInput, NotFound, OutOfOrder
from custody.gates import access_schema, access_text
from custody.given import read_given
from custody.roster.book import SERVICE_ROLES, TOKEN
from custody.roster.rights import EMERGENCY_HOURS, EMERGENCY_ROLES, NEVER_GRANTED, Emergency
from custody.seal.keys import PersonKey, canonical_pem, keyid_of

MOST_WAITING = 3
"""How many emergencies of one person may wait for a review: each of them keeps every gate shut."""
RULES = "access.cedar"
"""A project's own access policies, beside custody.toml."""


def read_until(text: str, now: str) -> str:
    """Read the end of a right: a date (its end), or a moment; raises `InvalidInput` unless it lies ahead."""
    found = moment(f"{text}T23:59:59+00:00") if len(text) == 10 else moment(text)
    begins = moment(now)
    if found is None or begins is None:
        raise InvalidInput(f"{text!r} is no moment", hint="2026-12-31, or 2026-12-31T12:00:00+00:00")
    if found <= begins:
        raise InvalidInput(f"{text} has passed already", hint="a right must end later than now")
    try:
        return found.astimezone(UTC).isoformat()
    except OverflowError:
        raise InvalidInput(f"{text} lies beyond the calendar", hint="a right ends on a day that will come") from None


def grant(desk: Desk, by: str, name: str, roles: Sequence[str], until: str, reason: str) -> Evidence:
    """Give somebody further roles until a moment; an owner does this, and not for themself where there are others."""
    wanted = _roles(roles)
    if not reason.strip():
        raise InvalidInput("a grant needs a reason", hint="--reason says it to whoever reviews access")
    if odd := sorted(wanted & NEVER_GRANTED):
        raise InvalidInput(f"the role {odd[0]} is never granted", hint="owners stand in the trust root")
    actor = desk.actor(name)
    pen = desk.permit(by, Action.GRANT_ACCESS)
    said = _grant(name, wanted, "granted", read_until(until, desk.time()), reason)
    return pen.write(Subject(f"actor:{name}", actor.keyid), kinds.GRANT, said)


def withdraw(desk: Desk, by: str, name: str, roles: Sequence[str], reason: str) -> Evidence:
    """End granted roles before their time; without `roles`, all of them."""
    actor = desk.actor(name)
    held = desk.roster().rights.granted(name, desk.time())
    given = frozenset(role for one in held for role in one.roles)
    wanted = _roles(roles) if roles else given
    if not wanted or not wanted <= given:
        lacking = ", ".join(sorted(wanted - given)) or "anything"
        raise OutOfOrder(f"{name} was not granted {lacking}", hint="custody init person NAME --role changes own roles")
    pen = desk.permit(by, Action.GRANT_ACCESS)
    said = _grant(name, wanted, "withdrawn", "", reason)
    return pen.write(Subject(f"actor:{name}", actor.keyid), kinds.GRANT, said)


def break_glass(desk: Desk, by: str, role: str, reason: str, hours: float = 1.0) -> Evidence:
    """Take an emergency role for one statement; another person, a security manager, has to review it."""
    wanted = _roles([role])
    if not wanted <= EMERGENCY_ROLES:
        raise InvalidInput(f"an emergency gives no {role}", hint=f"it gives {' or '.join(sorted(EMERGENCY_ROLES))}")
    if not 0 < hours <= EMERGENCY_HOURS:
        raise InvalidInput(f"an emergency lasts at most {EMERGENCY_HOURS} hours")
    if not reason.strip():
        raise InvalidInput("breaking the glass needs a reason")
    actor = desk.actor(by)
    pen = desk.permit(by, Action.BREAK_GLASS)
    waiting = [str(case.grant.index) for case in desk.roster().unreviewed() if case.person == actor.person]
    if len(waiting) >= MOST_WAITING:
        why = f"{actor.person} broke the glass in entries {', '.join(waiting)}, and nobody has reviewed that yet"
        desk.deny(actor, Action.BREAK_GLASS, Access(allowed=False, reason=why, rule="emergency"), None)
    began = moment(desk.time()) or datetime.min.replace(tzinfo=UTC)
    said = _grant(by, wanted, "granted", (began + timedelta(hours=hours)).isoformat(), reason)
    said |= {"emergency": True, "at": began.isoformat()}
    return pen.write(Subject(f"actor:{by}", actor.keyid), kinds.GRANT, said)


def review_emergency(desk: Desk, by: str, entry: int, verdict: str, reason: str) -> Evidence:
    """Say of one emergency whether it was right; a security manager does, and not for themself."""
    found = next((case for case in desk.roster().rights.emergencies.values() if case.grant.index == entry), None)
    if found is None:
        known = ", ".join(str(case.grant.index) for case in desk.roster().unreviewed()) or "none"
        raise NotFound(f"entry {entry} is no emergency", hint=f"waiting for a review: {known}")
    if verdict not in ("upheld", "disputed"):
        raise InvalidInput(f"verdict {verdict!r} is neither upheld nor disputed")
    if not reason.strip():
        raise InvalidInput("a review needs a reason")
    actor = desk.actor(by)
    pen = desk.permit(by, Action.REVIEW_ACCESS)
    if found.person == actor.person:
        why = f"{actor.person} broke the glass and does not review it"
        desk.deny(actor, Action.REVIEW_ACCESS, Access(allowed=False, reason=why, rule="review"), None)
    said = {"of": found.grant.digest, "verdict": verdict, "findings": _used(found), "reason": reason}
    return pen.write(Subject(f"actor:{found.grant.name}", actor.keyid), kinds.ACCESS_REVIEW, said)


def _used(found: Emergency) -> list[str]:
    return [f"used in entry {found.used}"] if found.used is not None else ["never used"]


def sign_campaign(desk: Desk, by: str, findings: Sequence[Mapping[str, Any]], days: int, reason: str) -> Evidence:
    """Put on record that somebody looked at all rights, and what was found."""
    pen = desk.permit(by, Action.REVIEW_ACCESS)
    listed = [f"{item['kind']}: {item['what']}" for item in findings]
    said = {
        "of": "",
        "verdict": "disputed" if listed else "upheld",
        "findings": listed,
        "reason": reason or f"review of all access, unused for {days} days",
    }
    return pen.write(Subject(f"actor:{by}", pen.actor.keyid), kinds.ACCESS_REVIEW, said)


def delegate(desk: Desk, by: str, name: str, roles: Sequence[str], until: str, public: str) -> Evidence:
    """Hand some of one's own work to a token: a key of its own, with an end, that counts as the same person."""
    check_name(name)
    wanted = _roles(roles)
    own = desk.actor(by).roles
    if odd := sorted(wanted - SERVICE_ROLES):
        raise InvalidInput(
            f"the role {odd[0]} is never delegated", hint=f"these are: {', '.join(sorted(SERVICE_ROLES))}"
        )
    if name in desk.roster().actors:
        raise InvalidInput(f"{name} is on record already", hint="a token has a name of its own")
    ends, public = read_until(until, desk.time()), canonical_pem(public)
    pen = desk.permit(by, Action.DELEGATE)
    if not wanted <= own:
        why = f"{by} does not hold {sorted(wanted - own)[0]} and cannot delegate it"
        desk.deny(pen.actor, Action.DELEGATE, Access(allowed=False, reason=why, rule="delegation"), None)
    said = {"name": name, "key": public, "keyid": keyid_of(public), "roles": sorted(map(str, wanted))}
    said |= {"expires": ends, "status": "active"}
    return pen.write(Subject(f"actor:{name}", keyid_of(public)), kinds.DELEGATION, said)


def make_token(
    desk: Desk, by: str, name: str, roles: Sequence[str], until: str, path: Path, passphrase: str
) -> Evidence:
    """Delegate to a new token, whose private key is kept at `path` once the delegation is on record."""
    if path.exists():
        raise InvalidInput(f"{path} exists already", hint="a token has a name and a key of its own")
    key = PersonKey.generate()
    said = delegate(desk, by, name, roles, until, key.public)
    key.save(path, passphrase)
    return said


def revoke_token(desk: Desk, by: str, name: str, reason: str = "") -> Evidence:
    """End a token at once: who delegated it takes it back; an owner or security manager revokes its key."""
    holder = desk.roster().book.holders.get(name)
    if holder is None or holder.account != TOKEN:
        raise NotFound(f"there is no token {name!r}", hint="custody access review lists what is held")
    token = holder.actor
    subject = Subject(f"actor:{name}", token.keyid)
    if by != holder.by:
        pen = desk.permit(by, Action.REVOKE_KEY)
        why = reason or f"ended by {by}"
        lost = {"name": name, "keyid": token.keyid, "reason": why, "compromised_since": None}
        return pen.write(subject, kinds.KEY_REVOCATION, lost)
    pen = desk.permit(by, Action.DELEGATE)
    said: dict[str, Any] = {
        "name": name,
        "key": token.key,
        "keyid": token.keyid,
        "roles": sorted(map(str, token.roles)),
    }
    said |= {"expires": holder.expires, "status": "revoked"}
    return pen.write(subject, kinds.DELEGATION, said)


def rules_of(root: Path, check: Callable[[Sequence[Policy], str], None]) -> Rules:
    """Return the policies in force in a project: those that are shipped, and its own in `access.cedar`, if any."""
    path = root / RULES
    if path.is_symlink() or path.exists():  # a link that leads nowhere is no absence of rules
        return read_rules(path, check)
    return Rules(access_text(), access_schema())


def read_rules(path: Path, check: Callable[[Sequence[Policy], str], None]) -> Rules:
    """Read a project's own policies beside those that are shipped.

    `check` holds them against the schema. Raises `InvalidInput` with line and reason for whatever is not right.
    """
    try:
        raw = read_given(path, BYTES)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    try:
        own = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 at byte {error.start}") from None
    try:
        rules = Rules(access_text(), access_schema(), own)
        check([policy for policy in rules.policies.all if policy.id in rules.own], access_schema())
    except InvalidInput as error:
        raise InvalidInput(f"{path.name}, {error.message}", hint=error.hint) from None
    return rules


def _roles(names: Sequence[str]) -> frozenset[Role]:
    try:
        found = frozenset(Role(name) for name in names)
    except ValueError:
        raise InvalidInput(f"unknown role in {', '.join(names)}", hint=f"roles: {', '.join(Role)}") from None
    if not found:
        raise InvalidInput("no role is named", hint=f"roles: {', '.join(Role)}")
    return found


def _grant(name: str, roles: frozenset[Role], status: str, until: str, reason: str) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "roles": sorted(map(str, roles)), "status": status, "emergency": False}
    return {**said, "expires": until, "reason": reason}

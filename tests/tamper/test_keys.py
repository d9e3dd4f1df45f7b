"""Keys: strangers', stolen, borrowed, weak, revoked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planting import Cases, Reason, World, case, edited

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject, use_case_subject
from custody.desk import now
from custody.seal.envelope import seal as sign
from custody.seal.keys import PersonKey

CASES: Cases = {}


LONG = "2099-01-01T00:00:00+00:00"
PAST = "2020-01-01T00:00:00+00:00"


def enrolment(
    name: str, key: str, keyid: str, *, person: str = "", roles: tuple[str, ...] = ("approver",)
) -> dict[str, Any]:
    said = {"name": name, "person": person or name, "roles": list(roles), "key": key, "keyid": keyid}
    return {**said, "status": "active"}


def enrol(world: World, by: str, said: dict[str, Any], key: PersonKey | None = None) -> int:
    return world.say(by, Subject(f"actor:{said['name']}", said["keyid"]), kinds.ENROLMENT, said, key=key)


def approval(world: World) -> dict[str, Any]:
    return {"use_case": "loans", "verdict": "approve", "reason": "fine"}


@case(CASES, Reason.NOT_ON_RECORD)
def a_stranger_signs(world: World) -> None:
    world.say("", world.model, kinds.APPROVAL, approval(world), key=PersonKey.generate())


@case(CASES, Reason.NOT_SIGNED)
def a_stranger_signs_under_anothers_key_id(world: World) -> None:
    stranger, owner = PersonKey.generate(), world.key("ari")
    made = sign(Statement(world.model, kinds.APPROVAL, {**approval(world), "at": now().isoformat()}), stranger)
    world.append(edited(made, keyid=owner.keyid))


@case(CASES, Reason.NOT_ON_RECORD, Reason.AMBIGUOUS)
def a_key_id_is_written_in_capitals(world: World) -> None:
    index, envelope = world.of(kinds.APPROVAL)[0]
    made = world.again(index, "ari", at="2026-01-01T00:00:00+00:00")
    world.append(edited(made, keyid=envelope.keyid.upper()))


@case(CASES, Reason.NOT_THE_OWNER)
def the_first_entry_enrols_another_owner(world: World) -> None:
    key = PersonKey.generate()
    said = {**enrolment("olga", key.public, key.keyid, roles=("owner",)), "at": now().isoformat()}
    world.forget()
    world.replace(0, sign(Statement(Subject("actor:olga", key.keyid), kinds.ENROLMENT, said), key))


@case(CASES, Reason.NOT_THE_OWNER)
def the_ledger_begins_with_something_else(world: World) -> None:
    world.forget()
    world.rewrite(world.envelopes[1:])


@case(CASES, Reason.NOT_ALLOWED)
def somebody_enrols_themselves_with_more(world: World) -> None:
    mel = world.key("mel")
    enrol(world, "mel", enrolment("mel", mel.public, mel.keyid, roles=("ml_engineer", "approver")))


@case(CASES, Reason.NOT_ALLOWED)
def a_manager_enrols_a_puppet(world: World) -> None:
    key = PersonKey.generate()
    enrol(world, "sam", enrolment("puppet", key.public, key.keyid))


@case(CASES, Reason.NOT_ON_RECORD)
def one_key_for_two_names(world: World) -> None:
    mel = world.key("mel")
    enrol(world, "olga", enrolment("melanie", mel.public, mel.keyid, roles=("approver",)))


@case(CASES, Reason.NOT_ON_RECORD)
def the_key_id_is_not_the_keys(world: World) -> None:
    key = PersonKey.generate()
    enrol(world, "olga", enrolment("nia", key.public, "0" * 64))


@case(CASES, Reason.AMBIGUOUS)
def an_unknown_role(world: World) -> None:
    key = PersonKey.generate()
    enrol(world, "olga", enrolment("nia", key.public, key.keyid, roles=("emperor",)))


def weak(world: World, pem: str) -> None:
    enrol(world, "olga", enrolment("nia", pem, "0" * 64))


def _curve(name: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = ec.generate_private_key({"p384": ec.SECP384R1(), "k256": ec.SECP256K1()}[name])
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@case(CASES, Reason.WEAK_KEY)
def a_key_on_another_curve(world: World) -> None:
    weak(world, _curve("p384"))


@case(CASES, Reason.WEAK_KEY)
def a_key_on_bitcoins_curve(world: World) -> None:
    weak(world, _curve("k256"))


@case(CASES, Reason.WEAK_KEY)
def an_rsa_key_of_512_bits(world: World) -> None:
    weak(
        world,
        "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL0Xf2Zc8hYxvX4TqkLk1pmqP8sVY0n0\n"
        "d1bGQJb7y7mZt6m1xv0c9r2mQmL0b4w8yYQ0eQ3rX0hWb6v3v9kCAwEAAQ==\n-----END PUBLIC KEY-----\n",
    )


@case(CASES, Reason.WEAK_KEY)
def a_point_that_is_not_on_the_curve(world: World) -> None:
    import base64

    from custody_verify.curves import SPKI

    der = SPKI + (1).to_bytes(32, "big") + (1).to_bytes(32, "big")
    weak(world, f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n")


@case(CASES, Reason.WEAK_KEY)
def something_that_is_no_key(world: World) -> None:
    weak(world, "key")


@case(CASES, Reason.NOT_ON_RECORD)
def a_revoked_person_goes_on_signing(world: World) -> None:
    ari = world.key("ari")
    enrol(world, "olga", {**enrolment("ari", ari.public, ari.keyid), "status": "revoked"})
    world.say("ari", world.model, kinds.APPROVAL, approval(world))


@case(CASES, Reason.NOT_ON_RECORD)
def a_revoked_key_goes_on_signing(world: World) -> None:
    ari = world.key("ari")
    said = {"name": "ari", "keyid": ari.keyid, "reason": "lost", "compromised_since": None}
    world.say("olga", Subject("actor:ari", ari.keyid), kinds.KEY_REVOCATION, said)
    world.say("ari", world.model, kinds.APPROVAL, approval(world))


@case(CASES, Reason.ACCEPTED)
def a_key_is_given_up_and_what_it_signed_stays(world: World) -> None:
    ari = world.key("ari")
    said = {"name": "ari", "keyid": ari.keyid, "reason": "left", "compromised_since": None}
    world.say("olga", Subject("actor:ari", ari.keyid), kinds.KEY_REVOCATION, said)


def stolen(world: World, name: str) -> None:
    """Say that somebody's key was stolen before it first signed about the model or its data."""
    key = world.key(name)
    first = next(index for index, envelope in enumerate(world.envelopes) if envelope.keyid == key.keyid)
    said = {"name": name, "keyid": key.keyid, "reason": "stolen", "compromised_since": max(first, 1)}
    world.say("olga", Subject(f"actor:{name}", key.keyid), kinds.KEY_REVOCATION, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def an_approvers_key_was_stolen(world: World) -> None:
    stolen(world, "ari")


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_trainers_key_was_stolen(world: World) -> None:
    stolen(world, "mel")


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_authors_key_was_stolen(world: World) -> None:
    stolen(world, "dana")


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_validators_key_was_stolen(world: World) -> None:
    stolen(world, "val")


@case(CASES, Reason.NOT_ALLOWED)
def a_trainer_revokes_the_validator(world: World) -> None:
    val = world.key("val")
    said = {"name": "val", "keyid": val.keyid, "reason": "in my way", "compromised_since": 1}
    world.say("mel", Subject("actor:val", val.keyid), kinds.KEY_REVOCATION, said)


@case(CASES, Reason.NOT_ALLOWED)
def somebody_grants_themselves_a_role(world: World) -> None:
    until = (now()).isoformat()[:4] + "-12-31T00:00:00+00:00"
    said = {
        "name": "mel",
        "roles": ["approver"],
        "status": "granted",
        "emergency": False,
        "expires": until,
        "reason": "x",
    }
    world.say("mel", use_case_subject("loans"), kinds.GRANT, said)


@case(CASES, Reason.NOT_ALLOWED)
def an_emergency_makes_an_approver(world: World) -> None:
    until = now().isoformat()
    said = {
        "name": "mel",
        "roles": ["approver"],
        "status": "granted",
        "emergency": True,
        "expires": until,
        "reason": "x",
    }
    world.say("mel", use_case_subject("loans"), kinds.GRANT, said)


@case(CASES, Reason.NOT_ALLOWED)
def a_token_holds_more_than_its_maker(world: World) -> None:
    key = PersonKey.generate()
    said = {"name": "bot", "key": key.public, "keyid": key.keyid, "roles": ["validator"], "status": "active"}
    world.say("mel", Subject("actor:bot", key.keyid), kinds.DELEGATION, {**said, "expires": LONG})


@case(CASES, Reason.NOT_ALLOWED)
def an_approval_is_delegated(world: World) -> None:
    key = PersonKey.generate()
    said = {"name": "bot", "key": key.public, "keyid": key.keyid, "roles": ["approver"], "status": "active"}
    world.say("ari", Subject("actor:bot", key.keyid), kinds.DELEGATION, {**said, "expires": LONG})


@case(CASES, Reason.NOT_ALLOWED)
def a_dead_token_signs(world: World) -> None:
    key = PersonKey.generate()
    said = {"name": "bot", "key": key.public, "keyid": key.keyid, "roles": ["operator"], "status": "active"}
    world.say("otto", Subject("actor:bot", key.keyid), kinds.DELEGATION, {**said, "expires": PAST})
    incident = {"incident": "i1", "type": "drift", "reason": "x", "affected": [], "status": "open"}
    world.say("", world.model, kinds.INCIDENT, incident, key=key)


@case(CASES, Reason.NOT_THE_OWNER)
def a_root_is_signed_by_nobody(world: World) -> None:
    olga = world.key("olga")
    owner = {"name": "olga", "person": "olga", "keyid": olga.keyid, "key": olga.public}
    said = {"version": 2, "expires": "", "log_key": world.config.log_key, "owners": [owner], "threshold": 1}
    said |= {"witnesses": [], "quorum": 0, "signatures": []}
    world.say("olga", use_case_subject("loans"), kinds.TRUST_ROOT, said)


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)

"""Names and keys: enrolled, rotated, revoked, and never used twice."""

from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.errors import Tampered
from custody.seal.keys import PersonKey


def test_a_new_key_takes_the_place_of_the_old_one_and_old_words_stay_good(town: Any) -> None:
    town.enrol("ann", "approver")
    said = town.approve("ann")
    town.enrol("ann", "approver", key="ann again")
    town.refused("not on record", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "approve", "reason": "x"})
    assert town.approve("ann", key="ann again").actor == "ann"
    assert town.entries[said.index].keyid == town.key("ann").keyid
    assert town.roster.void == frozenset()


def test_a_key_is_never_enrolled_again_once_it_was_replaced_or_revoked(town: Any) -> None:
    town.enrol("ann", "approver")
    town.enrol("ann", "approver", key="ann again")
    town.refused("revoked or replaced", "olga", kinds.ENROLMENT, town.card("ann", "approver"))
    town.refused("same key as ann", "olga", kinds.ENROLMENT, town.card("bob", "auditor", key="ann"))
    town.refused("same key as ann", "olga", kinds.ENROLMENT, town.card("bob", "auditor", key="ann again"))
    town.revoke("olga", "ann", keyid=town.key("ann again").keyid)
    assert "ann" not in town.on_record()
    town.refused("revoked or replaced", "olga", kinds.ENROLMENT, town.card("ann", "approver", key="ann again"))
    town.enrol("ann", "approver", key="ann's third")
    assert town.approve("ann", key="ann's third").person == "ann"


def test_a_name_keeps_its_person_for_ever(town: Any) -> None:
    town.enrol("ann", "approver", person="Ann Smith")
    town.refused("person Ann Smith", "olga", kinds.ENROLMENT, town.card("ann", "approver", person="Eve"))
    town.say("olga", kinds.ENROLMENT, town.card("ann", "approver", person="Ann Smith", status="revoked"))
    said = town.card("ann", "approver", key="other", person="Eve")
    town.refused("person Ann Smith", "olga", kinds.ENROLMENT, said)


def test_the_same_key_with_other_roles_is_no_rotation(town: Any) -> None:
    town.enrol("ann", "approver")
    town.enrol("ann", "auditor")
    assert town.roles("ann") == {"auditor"}
    town.enrol("ann", "approver")
    assert town.approve("ann").roles == {"approver"}


def test_an_owners_key_is_not_replaced_by_an_enrolment(town: Any) -> None:
    town.refused("only a new root", "olga", kinds.ENROLMENT, town.card("olga", "owner", key="thief"))
    town.refused("only a new root", "olga", kinds.ENROLMENT, town.card("olga", "owner", person="Eve"))
    town.enrol("olga", "owner", "approver")
    assert town.roles("olga") == {"owner", "approver"}


def test_the_last_owner_is_not_revoked_by_any_word(town: Any) -> None:
    town.enrol("sam", "security_manager")
    for by in ("olga", "sam"):
        said = {"name": "olga", "keyid": town.key("olga").keyid, "reason": "x", "compromised_since": None}
        town.refused("no new root could be signed", by, kinds.KEY_REVOCATION, said)
    town.refused("no new root could be signed", "olga", kinds.ENROLMENT, town.card("olga", "owner", status="revoked"))


@pytest.mark.parametrize("since", [0, -1, 5, 10**9])
def test_a_key_is_compromised_since_an_entry_that_exists(town: Any, since: int) -> None:
    town.enrol("ann", "approver")
    town.enrol("sam", "security_manager")
    said = {"name": "ann", "keyid": town.key("ann").keyid, "reason": "x", "compromised_since": since}
    town.refused("cannot be compromised since", "sam", kinds.KEY_REVOCATION, said)


def test_a_revocation_names_a_key_that_the_name_had(town: Any) -> None:
    town.enrol("ann", "approver")
    said = {"name": "ann", "keyid": town.key("olga").keyid, "reason": "x", "compromised_since": None}
    town.refused("never had the key", "olga", kinds.KEY_REVOCATION, said)
    town.refused("never had the key", "olga", kinds.KEY_REVOCATION, {**said, "keyid": "ff" * 32})


def test_an_old_key_can_be_revoked_while_the_new_one_signs_on(town: Any) -> None:
    town.enrol("ann", "approver")
    early = town.approve("ann")
    late = town.approve("ann")
    town.enrol("ann", "approver", key="ann again")
    town.revoke("olga", "ann", since=late.index)
    assert town.roster.void == {late.index}
    assert early.index not in town.roster.void
    assert town.approve("ann", key="ann again").index not in town.roster.void


def test_a_second_revocation_can_reach_further_back_and_never_less_far(town: Any) -> None:
    town.enrol("ann", "approver")
    said = [town.approve("ann").index for _ in range(4)]
    town.revoke("olga", "ann", since=said[2])
    assert town.roster.void == set(said[2:])
    town.revoke("olga", "ann", since=said[1])
    assert town.roster.void == set(said[1:])
    town.revoke("olga", "ann", since=said[3])
    assert town.roster.void == set(said[1:])


def test_a_thiefs_sock_puppets_fall_with_the_thief(town: Any) -> None:
    """Somebody had bea's key since entry 4: whom she enrolled since then, and what those said, is void."""
    town.enrol("bea", "owner")
    town.enrol("sam", "security_manager")
    honest = town.enrol("ann", "approver", by="bea")
    good = town.approve("ann")
    puppet = town.enrol("puppet", "approver", by="bea")
    forged = town.approve("puppet")
    lifted = town.enrol("ann", "approver", "auditor", by="bea")
    town.revoke("sam", "bea", since=puppet.index)
    assert town.roster.void == {puppet.index, forged.index, lifted.index}
    assert honest.index not in town.roster.void
    assert good.index not in town.roster.void
    assert town.on_record() == {"olga", "sam"}
    town.enrol("ann", "approver")  # her own key was never lost
    assert town.approve("ann").index not in town.roster.void


def test_a_service_account_works_for_a_person_on_record_and_judges_nothing(town: Any) -> None:
    town.enrol("mel", "ml_engineer")
    town.enrol("robot", "ml_engineer", person="mel", account="service")
    assert town.roster.book.holders["robot"].account == "service"
    assert town.roster.actors["robot"].person == "mel"
    for role in ("approver", "owner", "security_manager", "custodian", "data_scientist", "auditor"):
        said = town.card("robot 2", role, person="mel", account="service")
        town.refused("service cannot hold", "olga", kinds.ENROLMENT, said)
    said = town.card("robot 3", "operator", person="nobody", account="service")
    town.refused("who is not on record", "olga", kinds.ENROLMENT, said)
    town.refused("as a service", "olga", kinds.ENROLMENT, town.card("robot", "ml_engineer", person="mel"))
    town.refused("neither person nor service", "olga", kinds.ENROLMENT, town.card("x", "operator", account="bot"))


def test_keys_that_are_not_p256_are_not_enrolled(town: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for weak in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        pem = weak.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        town.refused("not ECDSA P-256", "olga", kinds.ENROLMENT, town.card("eve", "auditor", key="x") | {"key": pem})


@pytest.mark.parametrize("how", ["compressed", "with more behind it", "with more before it"])
def test_a_key_has_one_form_on_record(town: Any, how: str) -> None:
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    key = town.key("eve")
    public: Any = load_pem_public_key(key.public.encode())
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    coded = base64.b64encode(der).decode()
    pem = {
        "compressed": f"-----BEGIN PUBLIC KEY-----\n{coded}\n-----END PUBLIC KEY-----\n",
        "with more behind it": key.public.replace("END PUBLIC KEY-----", "END PUBLIC KEY-----}"),
        "with more before it": "eve\n" + key.public,
    }[how]
    town.refused(
        "not in the one form|not a public key", "olga", kinds.ENROLMENT, town.card("eve", "auditor") | {"key": pem}
    )
    town.enrol("eve", "auditor")


def test_no_word_counts_twice(town: Any) -> None:
    town.enrol("ann", "approver")
    town.approve("ann")
    with pytest.raises(Tampered, match="word for word"):
        town.roster.admit(town.size, town.envelopes[-1])


@pytest.mark.parametrize("what", ["off the curve", "infinity"])
def test_points_that_are_none_are_not_enrolled(town: Any, what: str) -> None:
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    good = load_pem_public_key(PersonKey.generate().public.encode())
    der = bytearray(good.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    if what == "infinity":
        der = bytearray(der[:24].replace(b"\x30\x59", b"\x30\x19").replace(b"\x03\x42", b"\x03\x02")) + b"\x00\x00"
        assert der[1] == 0x19  # the sequence is now as long as it says
    else:
        der[-1] ^= 1
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(bytes(der)).decode()}\n-----END PUBLIC KEY-----\n"
    town.refused("not a public key", "olga", kinds.ENROLMENT, town.card("eve", "auditor", key="x") | {"key": pem})

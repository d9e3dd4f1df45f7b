"""Envelopes and statements that could be read in two ways, or not at all; some of them signed by the right person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planting import Cases, Reason, World, append_payload, b64, case, edited, signed

from custody.core import predicates as kinds
from custody.core.subject import use_case_subject
from custody.desk import now

CASES: Cases = {}
ENTRY = 6


def store(world: World, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the stored envelope of one entry as JSON; its leaf stays."""
    body = json.loads(world.envelopes[ENTRY].to_bytes())
    changed = change(body)
    raw = changed if isinstance(changed, bytes) else json.dumps(changed or body).encode()
    world.sql("UPDATE entry SET envelope = ? WHERE idx = ?", raw, ENTRY)


def text(world: World, old: bytes, new: bytes) -> None:
    raw = world.envelopes[ENTRY].to_bytes()
    assert raw.count(old) >= 1
    world.sql("UPDATE entry SET envelope = ? WHERE idx = ?", raw.replace(old, new, 1), ENTRY)


UNREADABLE = (Reason.ALTERED, Reason.AMBIGUOUS)


@case(CASES, *UNREADABLE)
def a_key_stands_twice_in_the_envelope(world: World) -> None:
    text(world, b'{"dsseEnvelope"', b'{"mediaType":"x","dsseEnvelope"')


@case(CASES, *UNREADABLE)
def the_envelope_has_a_field_more(world: World) -> None:
    store(world, lambda body: {**body, "extra": 1})


@case(CASES, *UNREADABLE)
def the_envelope_is_of_another_version(world: World) -> None:
    store(world, lambda body: {**body, "mediaType": "application/vnd.dev.sigstore.bundle.v0.2+json"})


@case(CASES, *UNREADABLE)
def the_envelope_carries_two_signatures(world: World) -> None:
    store(world, lambda body: body["dsseEnvelope"]["signatures"].append(body["dsseEnvelope"]["signatures"][0]))


@case(CASES, *UNREADABLE)
def the_envelope_carries_no_signature(world: World) -> None:
    store(world, lambda body: body["dsseEnvelope"].update(signatures=[]))


@case(CASES, *UNREADABLE)
def the_payload_type_is_another(world: World) -> None:
    store(world, lambda body: body["dsseEnvelope"].update(payloadType="text/plain"))


@case(CASES, *UNREADABLE)
def the_hint_names_another_key(world: World) -> None:
    store(world, lambda body: body["verificationMaterial"]["publicKey"].update(hint="0" * 64))


@case(CASES, *UNREADABLE)
def the_key_comes_with_the_envelope(world: World) -> None:
    store(world, lambda body: body["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}))


@case(CASES, *UNREADABLE)
def the_payloads_base64_has_a_second_form(world: World) -> None:
    store(world, lambda body: body["dsseEnvelope"].update(payload=body["dsseEnvelope"]["payload"].rstrip("=") + "\n"))


@case(CASES, *UNREADABLE)
def the_signatures_base64_is_url_safe(world: World) -> None:
    store(world, lambda body: body["dsseEnvelope"]["signatures"][0].update(sig="-_-_"))


@case(CASES, Reason.ALTERED, Reason.NOT_JSON)
def the_envelope_is_cut_off(world: World) -> None:
    store(world, lambda body: json.dumps(body).encode()[:-30])


@case(CASES, *UNREADABLE)
def the_envelope_is_a_list(world: World) -> None:
    store(world, lambda body: json.dumps([body]).encode())


@case(CASES, *UNREADABLE)
def the_envelope_is_nested_too_deeply(world: World) -> None:
    store(world, lambda body: b"[" * 3000 + b"]" * 3000)


# The right person signed it, the log's holder put it in: it must not count all the same.


def statement(world: World, **changes: Any) -> dict[str, Any]:
    said = {"use_case": "loans", "risk": "x", "title": "x", "status": "treated", "reason": "x", "expires": None}
    subject = use_case_subject("loans")
    body = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}}],
        "predicateType": kinds.RISK,
        "predicate": {**said, "at": now().isoformat()},
    }
    return {**body, **changes}


def signed_entry(world: World, payload: bytes) -> None:
    append_payload(world, payload, "sam", kinds.RISK)


def dumped(world: World, **changes: Any) -> None:
    signed_entry(world, canonical(statement(world, **changes)))


def canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


@case(CASES, Reason.ACCEPTED)
def a_sound_statement_made_this_way_is_accepted(world: World) -> None:
    signed_entry(world, canonical(statement(world)))


@case(CASES, *UNREADABLE)
def a_statement_is_written_with_spaces(world: World) -> None:
    """One statement, one form: two readers must never differ on what was signed."""
    signed_entry(world, json.dumps(statement(world)).encode())


@case(CASES, *UNREADABLE)
def a_key_stands_twice_in_the_statement(world: World) -> None:
    raw = canonical(statement(world))
    signed_entry(world, raw[:-1] + b',"predicateType":"urn:custody:approval:v1"}')


@case(CASES, *UNREADABLE)
def a_number_is_nan(world: World) -> None:
    predicate = {**statement(world)["predicate"], "share": float("nan")}
    dumped(world, predicate=predicate)


@case(CASES, *UNREADABLE)
def a_number_is_beyond_what_others_can_read(world: World) -> None:
    dumped(world, predicate={**statement(world)["predicate"], "share": 2**53 + 1})


@case(CASES, *UNREADABLE)
def a_text_holds_half_a_character(world: World) -> None:
    dumped(world, predicate={**statement(world)["predicate"], "reason": "\ud800"})


@case(CASES, *UNREADABLE)
def the_statement_starts_with_a_byte_order_mark(world: World) -> None:
    signed_entry(world, b"\xef\xbb\xbf" + canonical(statement(world)))


@case(CASES, *UNREADABLE)
def the_statement_is_of_an_older_in_toto(world: World) -> None:
    dumped(world, _type="https://in-toto.io/Statement/v0.1")


@case(CASES, *UNREADABLE)
def the_statement_has_two_subjects(world: World) -> None:
    dumped(world, subject=[*statement(world)["subject"], {"name": "loans", "digest": {"sha256": "0" * 64}}])


@case(CASES, *UNREADABLE)
def the_subject_has_two_digests(world: World) -> None:
    dumped(world, subject=[{"name": "x", "digest": {"sha256": "0" * 64, "sha512": "0" * 128}}])


@case(CASES, *UNREADABLE)
def the_subject_has_no_digest(world: World) -> None:
    dumped(world, subject=[{"name": "x", "digest": {}}])


@case(CASES, *UNREADABLE)
def the_kind_is_unknown(world: World) -> None:
    dumped(world, predicateType="urn:custody:miracle:v1")


@case(CASES, *UNREADABLE)
def a_field_is_missing(world: World) -> None:
    said = dict(statement(world)["predicate"])
    del said["status"]
    dumped(world, predicate=said)


@case(CASES, *UNREADABLE)
def a_field_has_the_wrong_type(world: World) -> None:
    dumped(world, predicate={**statement(world)["predicate"], "status": ["treated"]})


@case(CASES, *UNREADABLE)
def the_payload_is_not_json(world: World) -> None:
    signed_entry(world, b"treated")


@case(CASES, Reason.NOT_SIGNED)
def the_signature_is_over_the_bare_payload(world: World) -> None:
    payload = canonical(statement(world))
    key = world.key("sam")
    world.append(edited(signed(payload, key), signature=key.sign(payload)))


@case(CASES, Reason.NOT_SIGNED, Reason.AMBIGUOUS)
def the_signature_is_empty(world: World) -> None:
    world.append(edited(signed(canonical(statement(world)), world.key("sam")), signature=b""))


@case(CASES, Reason.NOT_SIGNED)
def the_signature_is_all_zero(world: World) -> None:
    world.append(edited(signed(canonical(statement(world)), world.key("sam")), signature=bytes(72)))


@case(CASES, Reason.NOT_SIGNED)
def r_and_s_are_zero(world: World) -> None:
    """The forgery that some libraries took for Java's and every other signature (CVE-2022-21449)."""
    made = signed(canonical(statement(world)), world.key("sam"))
    world.append(edited(made, signature=bytes.fromhex("3006020100020100")))


def test_base64_is_what_the_cases_take_it_for() -> None:
    assert b64(b"\xff") == "/w=="


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)

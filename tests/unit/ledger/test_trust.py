"""The trust root's document, the chain over a log's rows, and the files that readers keep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, Tampered, Unavailable
from custody.ledger.bundle import write_trust_root
from custody.ledger.trust import (
    Owner,
    Root,
    RootChain,
    Trust,
    check_pin,
    first_root,
    follow,
    read_root,
    read_trust,
    sign_root,
    signed_bytes,
    write_trust,
)
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey, raw_to_text

ORIGIN = "custody.loans"
AT = "2026-01-01T00:00:00+00:00"
OLGA = PersonKey.generate()
BEA = PersonKey.generate()
KEYS = [raw_to_text(LogKey.generate().public) for _ in range(4)]


def owner(name: str, key: PersonKey) -> Owner:
    return Owner(name, name, key.keyid, key.public)


FIRST = first_root(KEYS[0], owner("olga", OLGA))


def after(old: Root, **change: Any) -> Root:
    return replace(old, version=old.version + 1, digest="", **change)


def said(root: Root, *signers: PersonKey) -> dict[str, Any]:
    return {**root.to_json(), "signatures": [sign_root(ORIGIN, root, key) for key in signers]}


def row(index: int, kind: str, predicate: dict[str, Any], key: PersonKey = OLGA) -> tuple[int, Envelope]:
    return index, seal(Statement(Subject("x", "ab" * 32), kind, {"at": AT, "id": str(index), **predicate}), key)


def begun() -> list[tuple[int, Envelope]]:
    card = {"name": "olga", "person": "olga", "roles": ["owner"], "key": OLGA.public, "keyid": OLGA.keyid}
    return [row(0, kinds.ENROLMENT, {**card, "status": "active"})]


def test_owners_sign_a_context_line_and_canonical_json_with_the_logs_origin() -> None:
    message = signed_bytes(ORIGIN, after(FIRST, log_key=KEYS[1]))
    head, _, body = message.partition(b"\n")
    assert head == b"custody-trust-root/v1"
    document = json.loads(body)
    assert json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == body
    assert set(document) == {"origin", *kinds.FIELDS[kinds.TRUST_ROOT]} - {"signatures"}
    assert document["origin"] == ORIGIN
    assert signed_bytes("another", FIRST) != signed_bytes(ORIGIN, FIRST)


def test_a_chain_is_followed_through_every_owner_and_log_key_there_ever_was() -> None:
    second = follow(ORIGIN, FIRST, said(after(FIRST, owners=(owner("bea", BEA),), log_key=KEYS[1]), OLGA, BEA))
    third = follow(ORIGIN, second, said(after(second, log_key=KEYS[2]), BEA))
    assert (third.version, third.log_key) == (3, KEYS[2])
    with pytest.raises(Tampered, match="needs 1"):
        follow(ORIGIN, second, said(after(second, owners=(owner("olga", OLGA),)), OLGA))
    with pytest.raises(Tampered, match="cannot follow"):
        follow(ORIGIN, FIRST, said(after(second, log_key=KEYS[2]), BEA))


def test_a_root_of_another_log_does_not_count() -> None:
    with pytest.raises(Tampered, match="does not fit"):
        follow("another", FIRST, said(after(FIRST), OLGA))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"owners": [{}]}, "owner must have exactly"),
        ({"owners": [{"name": "x", "person": "", "keyid": "x", "key": "x"}]}, "empty"),
        ({"owners": ["x"]}, "owner must have exactly"),
        ({"owners": {}}, "not a list"),
        ({"owners": [None] * 1001}, "not a list"),
        ({"witnesses": [{"name": "w", "key": "x", "more": "x"}]}, "witness must have exactly"),
        ({"witnesses": [{"name": "w", "key": "?"}]}, "base64"),
        ({"threshold": True}, "whole number"),
        ({"version": 2.0}, "whole number"),
        ({"log_key": 7}, "not text"),
        ({"log_key": "?"}, "base64"),
    ],
)
def test_a_malformed_root_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        read_root(ORIGIN, {**after(FIRST).to_json(), **change})


def test_an_owner_under_a_false_key_id_is_refused() -> None:
    false = after(FIRST, owners=(replace(owner("olga", OLGA), keyid=BEA.keyid),))
    with pytest.raises(InvalidInput, match="does not fit the key"):
        read_root(ORIGIN, false.to_json())


@pytest.mark.parametrize("sig", ["", "?", "AAAA", "A" * 4000])
def test_a_malformed_signature_is_refused(sig: str) -> None:
    body = {**after(FIRST).to_json(), "signatures": [{"keyid": OLGA.keyid, "sig": sig}]}
    with pytest.raises((Tampered, InvalidInput)):
        follow(ORIGIN, FIRST, body)


# The log's key, from the rows alone


def test_the_logs_key_is_that_of_the_newest_root() -> None:
    chain, rows = RootChain(Trust(ORIGIN, KEYS[0], OLGA.keyid)), begun()
    assert raw_to_text(chain(rows)) == KEYS[0]
    for number in (1, 2):
        root = after(chain_root(chain), log_key=KEYS[number])
        rows = [*rows, row(len(rows), kinds.TRUST_ROOT, said(root, OLGA))]
        assert raw_to_text(chain(rows)) == KEYS[number]
    assert raw_to_text(chain(rows[:2])) == KEYS[1]  # another, shorter history: it begins anew
    assert raw_to_text(RootChain(Trust(ORIGIN, KEYS[0], OLGA.keyid))(rows)) == KEYS[2]


def test_another_history_of_the_same_length_has_its_own_key() -> None:
    chain, rows = RootChain(Trust(ORIGIN, KEYS[0], OLGA.keyid)), begun()
    for number in (1, 2):
        other = [*rows, row(1, kinds.TRUST_ROOT, said(after(FIRST, log_key=KEYS[number]), OLGA))]
        assert raw_to_text(chain(other)) == KEYS[number]


def chain_root(chain: RootChain) -> Root:
    return chain._root


def test_rows_that_do_not_lead_to_a_key_are_refused_and_forgotten() -> None:
    chain, rows = RootChain(Trust(ORIGIN, KEYS[0], OLGA.keyid)), begun()
    chain(rows)
    forged = [*rows, row(1, kinds.TRUST_ROOT, said(after(FIRST, log_key=KEYS[3]), BEA))]
    with pytest.raises(Tampered, match="entry 1 does not count"):
        chain(forged)
    assert raw_to_text(chain(rows)) == KEYS[0]
    with pytest.raises(Tampered, match="does not begin with the owner"):
        RootChain(Trust(ORIGIN, KEYS[0], BEA.keyid))(rows)


# What readers pin


def test_a_reader_who_saw_a_root_refuses_a_history_without_it() -> None:
    second = follow(ORIGIN, FIRST, said(after(FIRST, log_key=KEYS[1]), OLGA))
    other = follow(ORIGIN, FIRST, said(after(FIRST, log_key=KEYS[2]), OLGA))
    pin = Trust(ORIGIN, KEYS[0], OLGA.keyid, 2, second.digest)
    check_pin(pin, [FIRST, second])
    check_pin(Trust(ORIGIN, KEYS[0], OLGA.keyid), [FIRST, second])
    with pytest.raises(Tampered, match="rolled back"):
        check_pin(pin, [FIRST])
    with pytest.raises(Tampered, match="not the one that was seen"):
        check_pin(pin, [FIRST, other])


def test_trust_files_read_back(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    full = Trust(ORIGIN, KEYS[0], OLGA.keyid, 3, "ab" * 32, 42, "cd" * 32)
    write_trust(path, full)
    assert read_trust(path) == full
    assert set(json.loads(path.read_bytes())) == {"format", "origin", "log_key", "owner_key", "root", "seen"}
    write_trust(path, Trust(ORIGIN, KEYS[0], OLGA.keyid))
    assert read_trust(path) == Trust(ORIGIN, KEYS[0], OLGA.keyid)
    with pytest.raises(Unavailable, match="cannot write"):
        write_trust(tmp_path / "no" / "trust.json", full)


def test_the_older_format_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    body = {"format": "custody-trust/1", "origin": ORIGIN, "log_key": KEYS[0], "owner_key": OLGA.keyid}
    path.write_text(json.dumps(body))
    assert read_trust(path) == Trust(ORIGIN, KEYS[0], OLGA.keyid)
    assert write_trust_root  # the writer of that format lives beside bundles


@pytest.mark.parametrize(
    "change",
    [
        {"format": "custody-trust/3"},
        {"more": 1},
        {"root": {"version": 2}},
        {"root": {"version": 2, "digest": ""}},
        {"root": {"version": 1, "digest": "ab"}},
        {"root": {"version": 0, "digest": ""}},
        {"root": {"version": True, "digest": ""}},
        {"seen": {"size": -1, "root": ""}},
        {"seen": []},
        {"origin": 7},
    ],
)
def test_a_trust_file_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "trust.json"
    write_trust(path, Trust(ORIGIN, KEYS[0], OLGA.keyid))
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(InvalidInput):
        read_trust(path)


def test_a_trust_file_is_there_and_small(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_trust(tmp_path / "trust.json")
    (tmp_path / "trust.json").write_bytes(b" " * 100_000)
    with pytest.raises(InvalidInput, match="limit"):
        read_trust(tmp_path / "trust.json")

"""The file an auditor receives, and the trust root that must not come with it. The ledger itself is sound."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planting import Cases, Reason, World, case

from custody.seal.keys import LogKey, PersonKey, raw_to_text

CASES: Cases = {}
OK = Reason.ACCEPTED


def edit(world: World, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the bundle as JSON, written again in the same canonical way."""

    def edited(raw: bytes) -> bytes:
        body = json.loads(raw)
        changed = change(body)
        found = body if changed is None else changed
        head = {key: value for key, value in found.items() if key != "entries"} if isinstance(found, dict) else found
        if not isinstance(found, dict) or "entries" not in found or not isinstance(found["entries"], list):
            return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        lines = ",\n".join(
            json.dumps(e, ensure_ascii=False, separators=(",", ":"), sort_keys=True) for e in found["entries"]
        )
        start = json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]
        return f'{start},"entries":[\n{lines}\n]}}\n'.encode()

    world.bundle_edit = edited


@case(CASES, OK)
def nothing_is_changed(world: World) -> None:
    edit(world, lambda body: None)


@case(CASES, OK, Reason.CUT_SHORT)
def the_last_entry_is_left_out(world: World) -> None:
    edit(world, lambda body: body["entries"].__delitem__(-1))


@case(CASES, OK, Reason.CUT_SHORT)
def an_entry_in_the_middle_is_left_out(world: World) -> None:
    edit(world, lambda body: body["entries"].__delitem__(9))


@case(CASES, OK, Reason.REWRITTEN)
def two_entries_changed_places(world: World) -> None:
    def swap(body: dict[str, Any]) -> None:
        found = body["entries"]
        found[4], found[5] = found[5], found[4]

    edit(world, swap)


@case(CASES, OK, Reason.CUT_SHORT)
def an_entry_stands_twice(world: World) -> None:
    edit(world, lambda body: body["entries"].append(body["entries"][-1]))


@case(CASES, OK, Reason.AMBIGUOUS)
def a_field_is_added(world: World) -> None:
    edit(world, lambda body: {**body, "verdict": "GO"})


@case(CASES, OK, Reason.AMBIGUOUS)
def the_trust_root_comes_with_the_bundle(world: World) -> None:
    edit(world, lambda body: {**body, "trust": {"log_key": "x"}})


@case(CASES, OK, Reason.NOT_JSON)
def the_format_is_another(world: World) -> None:
    edit(world, lambda body: {**body, "format": "custody-bundle/99"})


@case(CASES, OK, Reason.NOT_THE_LOG)
def the_origin_is_another(world: World) -> None:
    edit(world, lambda body: {**body, "origin": "custody.other.1"})


@case(CASES, OK, Reason.AMBIGUOUS)
def the_checkpoint_is_a_number(world: World) -> None:
    edit(world, lambda body: {**body, "checkpoint": 7})


@case(CASES, OK, Reason.NOT_THE_LOG)
def the_checkpoint_has_a_line_more(world: World) -> None:
    edit(world, lambda body: {**body, "checkpoint": body["checkpoint"].replace("\n\n", "\nextra\n\n", 1)})


@case(CASES, OK, Reason.AMBIGUOUS)
def an_entry_is_a_number(world: World) -> None:
    edit(world, lambda body: body["entries"].__setitem__(3, 7))


@case(CASES, OK, Reason.AMBIGUOUS)
def an_entry_is_null(world: World) -> None:
    edit(world, lambda body: body["entries"].__setitem__(3, None))


@case(CASES, OK, Reason.ALTERED)
def a_number_in_a_statement_is_changed(world: World) -> None:
    def change(body: dict[str, Any]) -> None:
        dsse = body["entries"][20]["dsseEnvelope"]
        payload = base64.b64decode(dsse["payload"])
        assert b"10000" in payload or b"0." in payload or b"1" in payload
        dsse["payload"] = base64.b64encode(payload.replace(b"1", b"2", 1)).decode()

    edit(world, change)


@case(CASES, OK, Reason.NOT_JSON)
def the_file_is_empty(world: World) -> None:
    world.bundle_edit = lambda _: b""


@case(CASES, OK, Reason.NOT_JSON)
def the_file_is_cut_in_half(world: World) -> None:
    world.bundle_edit = lambda raw: raw[: len(raw) // 2]


@case(CASES, OK, Reason.AMBIGUOUS)
def a_key_stands_twice(world: World) -> None:
    world.bundle_edit = lambda raw: raw.replace(b'{"format"', b'{"origin":"x","format"', 1)


@case(CASES, OK, Reason.NOT_JSON)
def the_file_starts_with_a_byte_order_mark(world: World) -> None:
    world.bundle_edit = lambda raw: b"\xef\xbb\xbf" + raw


@case(CASES, OK)
def a_space_is_added(world: World) -> None:
    world.bundle_edit = lambda raw: raw.replace(b'"entries":[', b'"entries": [', 1)


@case(CASES, OK)
def a_line_end_is_added(world: World) -> None:
    world.bundle_edit = lambda raw: raw + b"\n"


@case(CASES, OK)
def the_mail_made_other_line_ends_of_it(world: World) -> None:
    world.bundle_edit = lambda raw: raw.replace(b"\n", b"\r\n")


@case(CASES, OK)
def an_editor_wrote_it_anew(world: World) -> None:
    world.bundle_edit = lambda raw: json.dumps(json.loads(raw), indent=2, sort_keys=True).encode()


@case(CASES, OK)
def a_letter_is_written_as_an_escape(world: World) -> None:
    world.bundle_edit = lambda raw: raw.replace(b'"format"', b'"f\\u006frmat"', 1)


@case(CASES, OK, Reason.NOT_JSON)
def something_follows_the_end(world: World) -> None:
    world.bundle_edit = lambda raw: raw + b"{}"


# The trust root.


@case(CASES, OK, Reason.NOT_THE_LOG)
def the_log_key_is_anothers(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(log_key=raw_to_text(LogKey.generate().public))


@case(CASES, OK, Reason.NOT_THE_OWNER)
def the_owner_is_another(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(owner_key=PersonKey.generate().keyid)


@case(CASES, OK, Reason.NOT_THE_LOG)
def the_trusted_origin_is_another(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(origin="custody.other.1")


@case(CASES, OK, Reason.NOT_JSON)
def the_trust_root_lacks_the_owner(world: World) -> None:
    world.trust_edit = lambda trust: trust.pop("owner_key")


@case(CASES, OK, Reason.NOT_JSON)
def the_trust_root_has_a_field_more(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(extra=1)


@case(CASES, OK, Reason.NOT_JSON)
def the_log_key_is_short(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(log_key="AAAA")


def _small_order(world: World) -> None:
    world.trust_edit = lambda trust: trust.update(log_key=base64.b64encode(bytes([1] + [0] * 31)).decode())


@case(CASES, OK, Reason.NOT_THE_LOG)
def the_log_key_is_of_small_order(world: World) -> None:
    _small_order(world)


# What the auditor saw before.


@case(CASES, OK, Reason.CUT_SHORT)
def the_auditor_saw_more_entries(world: World) -> None:
    world.words = ["--seen", f"{len(world.envelopes) + 5}:{'0' * 64}"]


@case(CASES, OK, Reason.REWRITTEN)
def the_auditor_saw_another_history(world: World) -> None:
    world.words = ["--seen", f"5:{'0' * 64}"]


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)

"""The verifier and trust roots on real ledgers: new keys, witnesses, old copies, and a clock ten years on."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.strictjson import dump
from custody.core.subject import Subject
from custody.desk import now
from custody.ledger.bundle import write_bundle
from custody.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint
from custody.ledger.trust import Owner, Root, Trust, Witness, sign_root, write_trust
from custody.seal.keys import LogKey, PersonKey, raw_to_text
from custody.testing import Life, honest_life
from custody_verify.__main__ import main


def verify(bundle: Path, trust: Path, *words: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([str(bundle), "--trust", str(trust), "--json", *words])
    return code, json.loads(out.getvalue())


def install(life: Life, **change: Any) -> Root:
    """Install a trust root that the owner signs, with something changed from the first."""
    olga, config = life.desk.actor("olga"), life.custody.config
    owners = (Owner("olga", "olga", olga.keyid, olga.key),)
    version = len(life.record.of_kind(kinds.TRUST_ROOT)) + 2
    said = {"expires": "", "log_key": config.log_key, "owners": owners, "threshold": 1, "witnesses": (), "quorum": 0}
    root = Root(version=version, **{**said, **change})
    key = PersonKey.load(config.keys / "olga.pem")
    body = {**root.to_json(), "signatures": [sign_root(config.origin, root, key)]}
    life.forge("olga", Subject("trust-root", "0" * 64), kinds.TRUST_ROOT, body)
    return root


def noted(bundle: Path, *signed: tuple[str, LogKey, int], log: LogKey | None = None) -> None:
    """Write the bundle's note anew: by the log's key, cosigned by witnesses at moments, in the order given."""
    head, rest = bundle.read_bytes().split(b"\n", 1)
    body = json.loads(head + b"]}")
    origin, size, root = body["checkpoint"].split("\n")[:3]
    note = body["checkpoint"]
    if log:
        note = sign_checkpoint(Checkpoint(origin, int(size), base64.b64decode(root)), log)
    note += "".join(cosign(note, name, key, when).line() for name, key, when in signed)
    old, new = dump(body["checkpoint"]), dump(note)
    bundle.write_bytes(head.replace(old, new) + b"\n" + rest)


@pytest.fixture
def witnessed(tmp_path: Path) -> tuple[Life, Path, Path, LogKey, LogKey]:
    """An honest life whose newest trust root asks for one of two witnesses, and its bundle without any."""
    life, ann, bob = honest_life(tmp_path / "life"), LogKey.generate(), LogKey.generate()
    witnesses = (Witness("ann", raw_to_text(ann.public)), Witness("bob", raw_to_text(bob.public)))
    install(life, witnesses=witnesses, quorum=1, expires=life.later(300))
    return (life, *life.export(tmp_path / "export"), ann, bob)


Witnessed = tuple[Life, Path, Path, LogKey, LogKey]


def test_without_the_witnesses_that_the_root_asks_for_the_answer_is_unknown(witnessed: Witnessed) -> None:
    life, bundle, trust, _, _ = witnessed
    code, report = verify(bundle, trust)
    assert (code, report["answer"]) == (3, "UNKNOWN")
    assert "asks for 1 witnesses" in report["reasons"][0]
    code, report = verify(bundle, trust, "--seen", f"{life.record.size}:{life.record.root}")
    assert (code, report["answer"], report["fresh"]) == (0, "GO", "consistent")


def test_a_witness_makes_it_fresh_and_an_old_word_does_not(witnessed: Witnessed) -> None:
    _, bundle, trust, ann, bob = witnessed
    at = int(now().timestamp())
    noted(bundle, ("ann", ann, at), ("bob", bob, at))
    code, report = verify(bundle, trust)
    assert (code, report["fresh"]) == (0, "witnessed")
    assert report["freshness"].startswith("witnessed by ann, bob at ")
    later = (now() + timedelta(days=30)).isoformat()
    code, report = verify(bundle, trust, "--at", later)
    assert (code, report["fresh"]) == (0, "unproven")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("bob", "ann"), "not in their order"),
        (("ann", "ann"), "not in their order"),
        (("eve",), "by no witness"),
        (("ann", "eve"), "by no witness"),
    ],
    ids=["out of order", "twice", "a stranger", "a stranger behind a witness"],
)
def test_a_note_has_no_other_lines(witnessed: Witnessed, names: tuple[str, ...], reason: str) -> None:
    _, bundle, trust, ann, bob = witnessed
    keys, at = {"ann": ann, "bob": bob, "eve": LogKey.generate()}, int(now().timestamp())
    noted(bundle, *((name, keys[name], at) for name in names))
    code, report = verify(bundle, trust)
    assert code == 4
    assert reason in report["reasons"][0]


def test_a_retired_ledger_is_confirmed_ten_years_on_with_archived_keys(witnessed: Witnessed) -> None:
    """Keys were rotated, the root has ended: what was decided stays decided, and freshness is unproven."""
    _, bundle, trust, ann, _ = witnessed
    noted(bundle, ("ann", ann, int(now().timestamp())))
    code, report = verify(bundle, trust, "--at", (now() + timedelta(days=3653)).isoformat())
    assert (code, report["answer"], report["fresh"]) == (0, "GO", "unproven")
    assert any("the trust root ended" in note for note in [*report["notes"], report["freshness"]])
    assert report["today"]


def test_the_log_signs_with_the_key_of_the_newest_root(tmp_path: Path) -> None:
    life, new = honest_life(tmp_path / "life"), LogKey.generate()
    trust = life.export(tmp_path / "export")[1]
    reading = life.desk.log.read()
    assert reading.rows
    old = LogKey.load(life.custody.config.keys / "log.pem")
    install(life, log_key=raw_to_text(new.public))
    rows = life.desk.log._store.read(0)
    assert rows.head is not None
    bundle = tmp_path / "rotated.json"
    lines = b",\n".join(row.envelope for row in rows.rows)
    head = {"format": "custody-bundle/1", "origin": life.custody.config.origin, "checkpoint": rows.head.note}
    first = b",".join(b"%s:%s" % (dump(name), dump(value)) for name, value in head.items())
    bundle.write_bytes(b'{%s,"entries":[\n%s\n]}\n' % (first, lines))
    noted(bundle, log=old)
    code, report = verify(bundle, trust)
    assert code == 4
    assert "not signed by the log's key" in report["reasons"][0]
    noted(bundle, log=new)
    assert verify(bundle, trust)[0] == 0


def test_an_older_history_than_the_pinned_root_is_refused(witnessed: Witnessed, tmp_path: Path) -> None:
    life, bundle, _, ann, _ = witnessed
    noted(bundle, ("ann", ann, int(now().timestamp())))
    config, root = life.custody.config, life.desk.roster().root
    pinned = tmp_path / "pinned.json"
    trust = Trust(config.origin, config.log_key, config.owner_key, root.version, root.digest)
    write_trust(pinned, trust)
    assert verify(bundle, pinned)[0] == 0
    older = honest_life(tmp_path / "older")
    write_bundle(older.desk.log.read(), tmp_path / "older.json")
    for wrong in (Trust(trust.origin, trust.log_key, trust.owner_key, 3, root.digest),
                  Trust(trust.origin, trust.log_key, trust.owner_key, 2, "0" * 64)):  # fmt: skip
        write_trust(pinned, wrong)
        code, report = verify(bundle, pinned)
        assert code == 4
        assert "of the trust root, which you know" in report["reasons"][0]
    seen = Trust(trust.origin, trust.log_key, trust.owner_key, 2, root.digest, life.record.size + 1, "0" * 64)
    write_trust(pinned, seen)
    code, report = verify(bundle, pinned)
    assert code == 4
    assert "cut short" in report["reasons"][0]

"""The verifier against real ledgers: honest ones are confirmed, every manipulation is refused for its own reason."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.access import Action
from custody.core.decision import Decision, Status
from custody.core.release import decide as judge
from custody.core.seed import derive_seed
from custody.core.statement import Statement
from custody.core.subject import Subject, run_subject
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import leaf_of
from custody.ledger.merkle import root_of
from custody.seal.envelope import Envelope, in_one_form, pae
from custody.seal.envelope import seal as sign
from custody.seal.keys import LogKey, PersonKey
from custody.testing import (
    Life,
    criteria_document,
    digest,
    honest_life,
    prepared_life,
    refused_life,
    trained_life,
    undecided_life,
)
from custody.wiring import add_person
from custody_verify.__main__ import main

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verify(bundle: Path, trust: Path | None, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the verifier as its command would; returns exit code and report."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["bundle", str(bundle), *(["--trust", str(trust)] if trust else []), "--json", *words])
    return code, json.loads(out.getvalue())


def verify_life(life: Life, folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    return verify(*life.export(folder / "export"), *words)


def reasons(report: dict[str, Any]) -> str:
    return "; ".join(report["reasons"])


# Honest lives.


def test_an_honest_life_is_confirmed_with_the_products_own_outcome(tmp_path: Path) -> None:
    life = undecided_life(tmp_path / "life")
    decision = life.decide()
    code, report = verify_life(life, tmp_path)
    assert (code, report["answer"]) == (0, "GO")
    assert [found["outcome"] for found in report["decisions"]] == [decision.outcome]
    assert report["root"] == life.record.root
    assert report["models"][0]["standing"] == []
    assert "freshness unproven" in report["freshness"]


def test_a_refused_life_is_no_go_with_the_criterion_that_refused_it(tmp_path: Path) -> None:
    code, report = verify_life(refused_life(tmp_path / "life"), tmp_path)
    assert (code, report["answer"]) == (1, "NO-GO")
    assert "F1[sex] not_met" in reasons(report)


def test_without_a_decision_the_answer_is_unknown(tmp_path: Path) -> None:
    code, report = verify_life(undecided_life(tmp_path / "life"), tmp_path)
    assert (code, report["answer"]) == (3, "UNKNOWN")


def test_an_inconclusive_decision_ends_with_three(tmp_path: Path) -> None:
    life, seal = trained_life(tmp_path / "life")
    life.validate(seal)
    life.decide()
    code, report = verify_life(life, tmp_path)
    assert (code, report["answer"]) == (3, "INCONCLUSIVE")
    assert "pending: 0 of 2 approvals" in reasons(report)


def test_without_a_trust_root_the_signers_are_unknown(tmp_path: Path) -> None:
    bundle, _ = honest_life(tmp_path / "life").export(tmp_path)
    code, report = verify(bundle, None)
    assert code == 3
    assert "signers unknown" in reasons(report)


def test_a_waived_criterion_is_go_and_stands_among_the_notes(tmp_path: Path) -> None:
    life, seal = trained_life(tmp_path / "life")
    life.validate(seal, balanced_accuracy=(0.76, 0.74, 0.78))
    life.waive("P1")
    for who in ("ari", "cora"):
        life.approve(who)
    life.decide()
    code, report = verify_life(life, tmp_path)
    assert code == 0
    assert any("P1 is waived" in note for note in report["notes"])
    _, later = verify_life(life, tmp_path, "--at", life.later(21))
    assert any("expired" in sentence for sentence in later["models"][0]["standing"])


def test_incident_and_retirement_after_go_change_the_standing_not_the_audit(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    said = {"incident": "i1", "type": "evasion", "reason": "seen", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, said)
    code, report = verify_life(life, tmp_path)
    assert code == 0
    assert any("incident i1 (evasion) is open" in sentence for sentence in report["models"][0]["standing"])
    life.say("sam", Action.CLOSE_INCIDENT, life.model, kinds.INCIDENT, {**said, "status": "closed"})
    assert verify_life(life, tmp_path)[1]["models"][0]["standing"] == []
    retire(life)
    code, report = verify_life(life, tmp_path)
    assert code == 0
    assert any("the model is retired" in sentence for sentence in report["models"][0]["standing"])


def retire(life: Life) -> None:
    said = {
        "use_case": "loans",
        "reason": "replaced",
        "key_commitment": "",
        "ciphertexts": {},
        "canary": {},
        "copies": {},
    }
    life.say("otto", Action.RETIRE, life.model, kinds.RETIREMENT, said)


def test_each_model_has_its_verdict_and_the_newest_answers(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    first, seal = life.model.sha256, life.record.latest(kinds.SEAL)
    assert seal is not None
    life.model = Subject("loans", digest("model 2"))
    life.train(seal, "run2")
    life.validate(seal, success_rate=(0.7, 0.6, 0.8))
    life.decide()
    code, report = verify_life(life, tmp_path)
    assert (code, report["model"]) == (1, life.model.sha256)
    assert [found["verdict"] for found in report["models"]] == ["GO", "NO-GO"]
    assert verify_life(life, tmp_path, "--model", first[:12])[0] == 0
    assert verify_life(life, tmp_path, "--model", "0" * 12)[0] == 3


def test_solo_is_said_aloud(tmp_path: Path) -> None:
    life = Life(tmp_path / "life", solo=True)
    everybody(life, "olga")
    code, report = verify_life(life, tmp_path)
    assert code == 0
    assert report["models"][0]["assurance"] == "solo"


def everybody(life: Life, who: str, environment: str = "staging") -> None:
    """Let one person live the whole life of a solo project, whose risks are all treated."""
    only = OneHand(life, who)
    only.run(environment)


class OneHand:
    """One person in every part."""

    def __init__(self, life: Life, who: str) -> None:
        self.life, self.who = life, who

    def run(self, environment: str) -> None:
        life, who = self.life, self.who
        said = life.say
        life.say = lambda _, *rest: said(who, *rest)  # type: ignore[method-assign, misc, assignment]
        sourcing = {"use_case": "loans", "chosen": "build", "options": {}, "weights": {}, "flips": [], "reason": "x"}
        life.say(who, Action.DECIDE_SOURCE, life.case, kinds.SOURCING, sourcing)
        life.risk("expertise", "treated", "read a book")
        life.register_data()
        life.check_data()
        seal = life.seal(policy={"solo": True, "approvals": 1})
        life.train(seal)
        life.validate(seal)
        life.approve(who)
        from custody.stages.release import decide

        decide(life.desk, who, "loans", life.model.sha256, environment)


def test_what_was_seen_before_must_still_be_there(tmp_path: Path) -> None:
    life = undecided_life(tmp_path / "life")
    seen = f"{life.record.size}:{life.record.root}"
    life.decide()
    code, report = verify_life(life, tmp_path, "--seen", seen)
    assert code == 0
    assert report["freshness"].startswith("consistent")
    assert verify_life(life, tmp_path, "--seen", f"9999:{'0' * 64}")[0] == 4
    code, report = verify_life(life, tmp_path, "--seen", f"{life.record.size}:{'0' * 64}")
    assert code == 4
    assert "rewritten" in reasons(report)


def test_a_rewritten_history_is_called_rewritten_whatever_it_does_to_a_decision(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    seen = f"{life.record.size}:{'0' * 64}"
    again(verdict="NO-GO")(life)
    assert "says NO-GO" in reasons(verify_life(life, tmp_path)[1])
    code, report = verify_life(life, tmp_path, "--seen", seen)
    assert code == 4
    assert "rewritten" in reasons(report)


# What an outsider can do to the file.


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, Path, Path]:
    """An honest life and its export, to be read only."""
    folder = tmp_path_factory.mktemp("honest")
    life = honest_life(folder / "life")
    return (life, *life.export(folder))


Body = dict[str, Any]


def payload_of(body: Body, index: int) -> bytes:
    return base64.b64decode(body["entries"][index]["dsseEnvelope"]["payload"])


def flip_payload(body: Body) -> None:
    raw = payload_of(body, 24).replace(b"0.84", b"0.94")
    body["entries"][24]["dsseEnvelope"]["payload"] = base64.b64encode(raw).decode()


def flip_signature(body: Body) -> None:
    signature = body["entries"][5]["dsseEnvelope"]["signatures"][0]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[-1] ^= 1
    signature["sig"] = base64.b64encode(raw).decode()


def spare_bits(body: Body) -> None:
    dsse = next(e["dsseEnvelope"] for e in body["entries"] if e["dsseEnvelope"]["payload"].endswith("="))
    text = dsse["payload"]
    end = len(text.rstrip("="))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    dsse["payload"] = text[: end - 1] + letters[letters.index(text[end - 1]) + 1] + text[end:]


def two_signatures(body: Body) -> None:
    body["entries"][5]["dsseEnvelope"]["signatures"] *= 2


def other_type(body: Body) -> None:
    body["entries"][5]["dsseEnvelope"]["payloadType"] = "text/plain"


def other_hint(body: Body) -> None:
    body["entries"][5]["verificationMaterial"]["publicKey"]["hint"] = "0" * 64


def other_signer(body: Body) -> None:
    keyid = body["entries"][23]["dsseEnvelope"]["signatures"][0]["keyid"]
    entry = body["entries"][5]
    entry["verificationMaterial"]["publicKey"]["hint"] = keyid
    entry["dsseEnvelope"]["signatures"][0]["keyid"] = keyid


def forged_size(body: Body) -> None:
    lines = body["checkpoint"].split("\n")
    lines[1] = str(len(body["entries"]) - 1)
    body["checkpoint"] = "\n".join(lines)
    body["entries"].pop()


def other_log_key(body: Body) -> None:
    origin, size, root = body["checkpoint"].split("\n")[:3]
    body["checkpoint"] = sign_checkpoint(Checkpoint(origin, int(size), base64.b64decode(root)), LogKey.generate())


def other_origin_in_note(body: Body) -> None:
    body["checkpoint"] = body["checkpoint"].replace(body["origin"], "custody.loans.other")


EDITS: dict[str, tuple[Callable[[Body], Any], str]] = {
    "a number in a payload": (flip_payload, "do not give the checkpoint's root"),
    "a bit of a signature": (flip_signature, "entry 5 does not count: the signature does not fit"),
    "an entry removed": (lambda body: body["entries"].pop(9), "covers 35 entries; the bundle has 34"),
    "two entries exchanged": (lambda body: body["entries"].insert(7, body["entries"].pop(6)), "replaced or moved"),
    "the end cut off": (lambda body: body["entries"].__delitem__(slice(20, None)), "the bundle has 20"),
    "an entry twice": (lambda body: body["entries"].append(body["entries"][-1]), "the bundle has 36"),
    "a note with another size": (forged_size, "do not give the checkpoint's root"),
    "a note by another log's key": (other_log_key, "not signed by the log's key"),
    "another origin": (lambda body: body.update(origin="custody.loans.other"), "another log"),
    "another origin in the note": (other_origin_in_note, "checkpoint is of another log"),
    "a note without signature": (lambda b: b.update(checkpoint=b["checkpoint"].split("\n\n")[0]), "signed note"),
    "no note": (lambda body: body.update(checkpoint=None), "the bundle's checkpoint has the wrong type"),
    "spare bits in base64": (spare_bits, "not canonical base64"),
    "two signatures": (two_signatures, "entry 5 cannot be read: it is not an envelope"),
    "another payload type": (other_type, "entry 5 cannot be read: it is not an envelope"),
    "two keys in one envelope": (other_hint, "not an envelope that names one key"),
    "another signer named": (other_signer, "do not give the checkpoint's root"),
    "a field nobody knows": (lambda body: body.update(extra=1), "has other fields than format, origin, checkpoint and"),
    "a field missing": (lambda body: body.pop("origin"), "has other fields than format, origin, checkpoint and"),
    "an origin that is no text": (lambda body: body.update(origin=7), "the bundle's origin has the wrong type"),
    "an entry that is none": (lambda body: body["entries"].__setitem__(4, None), "entry 4 cannot be read"),
}


def written(body: Body) -> bytes:
    """Write a bundle in the form that Custody gives it, whatever it holds."""
    head = [b"%s:%s" % (strictjson.dump(key), strictjson.dump(body[key])) for key in body if key != "entries"]
    lines = b",\n".join(strictjson.dump(entry) for entry in body["entries"])
    return b'{%s,"entries":[\n%s\n]}\n' % (b",".join(head), lines)


def edited(honest: tuple[Life, Path, Path], folder: Path, edit: Callable[[Body], Any]) -> tuple[int, dict[str, Any]]:
    body = json.loads(honest[1].read_bytes())
    edit(body)
    (folder / "bundle.json").write_bytes(written(body))
    return verify(folder / "bundle.json", honest[2])


def test_the_bundle_written_anew_without_an_edit_is_still_confirmed(
    honest: tuple[Life, Path, Path], tmp_path: Path
) -> None:
    assert edited(honest, tmp_path, lambda _: None)[0] == 0


@pytest.mark.parametrize(("edit", "reason"), EDITS.values(), ids=EDITS)
def test_an_edited_bundle_is_refused(
    honest: tuple[Life, Path, Path], tmp_path: Path, edit: Callable[[Body], Any], reason: str
) -> None:
    code, report = edited(honest, tmp_path, edit)
    assert (code, report["answer"]) == (4, "REFUSED")
    assert reason in reasons(report)


RAW: dict[str, tuple[bytes, bytes, int, str]] = {
    "a key twice": (b'"format":', b'"format":"custody-bundle/1","format":', 4, "a key stands twice"),
    "a key twice in an envelope": (b'"payloadType":', b'"payload":"","payloadType":', 4, "a key stands twice"),
    "a byte-order mark": (b'{"format"', b'\xef\xbb\xbf{"format"', 2, "not JSON"),
    "bytes that are not UTF-8": (b'"origin":"c', b'"origin":"\xff', 2, "not JSON"),
    "half a character": (b'"origin":"c', b'"origin":"\\ud800', 4, "half a character"),
    "no number": (b'"origin":', b'"more":NaN,"origin":', 4, "not a number"),
    "a number beyond 2^53": (b'"origin":', b'"more":9007199254740993,"origin":', 4, "beyond 2^53"),
    "words behind the end": (b"\n]}\n", b"\n]}\n[]", 2, "not JSON"),
    "no end": (b"\n]}\n", b"\n", 2, "not JSON"),
    "a comma behind the last entry": (b"\n]}\n", b",\n]}\n", 2, "not JSON"),
    "a field in an envelope": (b'"mediaType":', b'"more":1,"mediaType":', 4, "entry 0 cannot be read"),
    "nesting": (b'"entries":[\n', b'"entries":[\n' + b"[" * 80 + b"]" * 80 + b",", 4, "64 levels"),
    "deep nesting": (b'"origin":', b'"origin":' + b"[" * 200_000, 4, "64 levels"),
    "a million parts": (b'"entries":[\n', b'"entries":[\n' + b"1," * 1_000_000, 4, "parts"),
}


@pytest.mark.parametrize(("old", "new", "code", "reason"), RAW.values(), ids=RAW)
def test_json_with_two_readings_or_none_is_refused(
    honest: tuple[Life, Path, Path], tmp_path: Path, old: bytes, new: bytes, code: int, reason: str
) -> None:
    (tmp_path / "bundle.json").write_bytes(honest[1].read_bytes().replace(old, new, 1))
    found, report = verify(tmp_path / "bundle.json", honest[2])
    assert reason in reasons(report)
    assert found == code


def from_behind(value: Any) -> Any:
    """Return the same JSON with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: from_behind(value[key]) for key in reversed(value)}
    return [from_behind(item) for item in value] if isinstance(value, list) else value


def in_numbers(raw: bytes) -> bytes:
    """Return the same JSON with every letter o inside it written as its number."""
    return raw.replace(b"o", b"\\u006f")


SAME: dict[str, Callable[[bytes], bytes]] = {
    "printed for people": lambda raw: json.dumps(json.loads(raw), indent=2).encode(),
    "printed for people on Windows": lambda raw: (
        json.dumps(json.loads(raw), indent="\t").replace("\n", "\r\n").encode()
    ),
    "on one line": lambda raw: json.dumps(json.loads(raw)).encode(),
    "keys sorted": lambda raw: json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode(),
    "keys from behind": lambda raw: json.dumps(from_behind(json.loads(raw))).encode() + b"\n\n",
    "letters as numbers": in_numbers,
    "lines ended as on Windows": lambda raw: raw.replace(b"\n", b"\r\n"),
    "an end without a newline": lambda raw: raw.removesuffix(b"\n"),
    "space all around": lambda raw: b" \t\r\n" + raw + b"\n \n",
    "one space in one envelope": lambda raw: raw.replace(b'"mediaType":', b'"mediaType": ', 1),
    "one space in the head": lambda raw: raw.replace(b'"origin":', b'"origin": ', 1),
}


@pytest.mark.parametrize("written", SAME.values(), ids=SAME)
def test_the_same_content_written_otherwise_has_the_same_verdict(
    honest: tuple[Life, Path, Path], tmp_path: Path, written: Callable[[bytes], bytes]
) -> None:
    """Somebody's tool or mail gateway touched the files: what is signed did not change."""
    at = ("--at", honest[0].later(1))
    expected = verify(honest[1], honest[2], *at)
    assert expected[0] == 0
    bundle, trust = tmp_path / "bundle.json", tmp_path / "trust.json"
    for path, original in ((bundle, honest[1]), (trust, honest[2])):
        path.write_bytes(written(original.read_bytes()))
        assert path.read_bytes() != original.read_bytes() or path == trust
    assert verify(bundle, trust, *at) == expected


def test_an_edit_is_noticed_in_whatever_json_it_comes(honest: tuple[Life, Path, Path], tmp_path: Path) -> None:
    body = json.loads(honest[1].read_bytes())
    flip_payload(body)
    (tmp_path / "bundle.json").write_text(json.dumps(body, indent=1))
    code, report = verify(tmp_path / "bundle.json", honest[2])
    assert code == 4
    assert "do not give the checkpoint's root" in reasons(report)


def test_the_higher_s_is_the_same_statement(honest: tuple[Life, Path, Path], tmp_path: Path) -> None:
    """ECDSA accepts (r, n - s) as well, and strangers' signers make it; no leaf depends on which of the two it is."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    def malleate(body: Body) -> None:
        signature = body["entries"][5]["dsseEnvelope"]["signatures"][0]
        r, s = decode_dss_signature(base64.b64decode(signature["sig"]))
        signature["sig"] = base64.b64encode(encode_dss_signature(r, N - s)).decode()

    at = ("--at", honest[0].later(1))
    body = json.loads(honest[1].read_bytes())
    malleate(body)
    (tmp_path / "bundle.json").write_bytes(written(body))
    assert verify(tmp_path / "bundle.json", honest[2], *at) == verify(honest[1], honest[2], *at)


# What an insider can do with real keys.


def relog(life: Life, envelopes: list[Envelope], folder: Path) -> tuple[Path, Path]:
    """Export other envelopes under a note by the log's real key, as whoever holds it could."""
    _, trust = life.export(folder)
    config = life.custody.config
    root = root_of([leaf_of(envelope) for envelope in envelopes])
    key = LogKey.load(config.keys / "log.pem")
    note = sign_checkpoint(Checkpoint(config.origin, len(envelopes), root), key)
    entries = [json.loads(in_one_form(envelope).to_bytes()) for envelope in envelopes]
    body = {"format": "custody-bundle/1", "origin": config.origin, "checkpoint": note, "entries": entries}
    (folder / "relogged.json").write_bytes(written(body))
    return folder / "relogged.json", trust


def envelopes_of(life: Life) -> list[Envelope]:
    return [envelope for _, envelope in life.desk.log.read().rows]


def by_a_stranger(life: Life) -> list[Envelope]:
    found, stranger = envelopes_of(life), PersonKey.generate()
    found[24] = Envelope(found[24].payload, stranger.keyid, stranger.sign(pae(found[24].payload)))
    return found


def number_changed(life: Life) -> list[Envelope]:
    found = envelopes_of(life)
    found[24] = dataclasses.replace(found[24], payload=found[24].payload.replace(b"0.84", b"0.94"))
    return found


def replayed(life: Life) -> list[Envelope]:
    found = envelopes_of(life)
    approval = next(e.index for e in life.record if e.kind == kinds.APPROVAL)
    return [*found, found[approval]]


def without_first(life: Life) -> list[Envelope]:
    return envelopes_of(life)[1:]


def by_nobody_first(life: Life) -> list[Envelope]:
    """A whole other ledger, honest in itself, under the same origin and log key."""
    key = PersonKey.generate()
    said = {"name": "eve", "person": "eve", "roles": ["owner"], "key": key.public, "keyid": key.keyid}
    said |= {"status": "active", "at": life.later(0)}
    return [sign(Statement(Subject("actor:eve", key.keyid), kinds.ENROLMENT, said), key)]


RELOGGED: dict[str, tuple[Callable[[Life], list[Envelope]], str]] = {
    "signed again by an unenrolled key": (by_a_stranger, "entry 24 does not count: it is signed by a key that is not"),
    "a number changed": (number_changed, "entry 24 does not count: the signature does not fit"),
    "an approval replayed": (replayed, "a replay"),
    "without its first entry": (without_first, "entry 0 does not count: the ledger's owner is not the one"),
    "begun by somebody else": (by_nobody_first, "the ledger's owner is not the one in the trust root"),
}


@pytest.mark.parametrize(("change", "reason"), RELOGGED.values(), ids=RELOGGED)
def test_whoever_holds_the_logs_key_cannot_speak_for_others(
    honest: tuple[Life, Path, Path], tmp_path: Path, change: Callable[[Life], list[Envelope]], reason: str
) -> None:
    code, report = verify(*relog(honest[0], change(honest[0]), tmp_path))
    assert code == 4
    assert reason in reasons(report)


def test_a_shorter_history_with_a_fresh_note_is_noticed_by_whoever_saw_more(
    honest: tuple[Life, Path, Path], tmp_path: Path
) -> None:
    life = honest[0]
    bundle, trust = relog(life, envelopes_of(life)[:-1], tmp_path)
    assert verify(bundle, trust)[0] == 0
    code, report = verify(bundle, trust, "--seen", f"{life.record.size}:{life.record.root}")
    assert code == 4
    assert "cut short" in reasons(report)


def raw_payload(change: Callable[[bytes], bytes]) -> Callable[[Life], bytes]:
    """Return what makes a result of the validator's own whose payload was changed before signing."""

    def make(life: Life) -> bytes:
        said = {**life.result("performance.classification", {"balanced_accuracy": (0.5, 0.5, 0.5)}, {}), "at": ""}
        return change(Statement(life.model, kinds.CHECK_RESULT, said).to_bytes())

    return make


PAYLOADS: dict[str, tuple[Callable[[Life], bytes], str]] = {
    "a measure that is not a number": (raw_payload(lambda r: r.replace(b'"high":0.5', b'"high":NaN')), "not a number"),
    "a key twice": (raw_payload(lambda r: r.replace(b'"at":""', b'"at":"","at":""')), "one form"),
    "a field missing": (raw_payload(lambda r: r.replace(b'"evaluator"', b'"evaluated"')), "lacks 'evaluator'"),
    "a field of another type": (raw_payload(lambda r: r.replace(b'"findings":[]', b'"findings":{}')), "'findings'"),
    "another kind": (raw_payload(lambda r: r.replace(b"check-result:v1", b"check-result:v2")), "not a known kind"),
    "two subjects": (raw_payload(lambda r: r.replace(b'"subject":[', b'"subject":[{},')), "wrong shape"),
    "a digest in capitals": (raw_payload(lambda r: r.replace(b'"sha256":"', b'"sha256":"A')), "not named"),
    "no JSON": (raw_payload(lambda _: b"{"), "not JSON"),
}


@pytest.mark.parametrize(("make", "reason"), PAYLOADS.values(), ids=PAYLOADS)
def test_a_statement_with_two_readings_does_not_count_whoever_signed_it(
    honest: tuple[Life, Path, Path], tmp_path: Path, make: Callable[[Life], bytes], reason: str
) -> None:
    life = honest[0]
    key = PersonKey.load(life.custody.config.keys / "val.pem")
    payload = make(life)
    bundle, trust = life.export(tmp_path)
    body = json.loads(bundle.read_bytes())
    body["entries"].append(json.loads(in_one_form(Envelope(payload, key.keyid, key.sign(pae(payload)))).to_bytes()))
    origin, _, root = body["checkpoint"].split("\n")[:3]
    note = Checkpoint(origin, len(body["entries"]), base64.b64decode(root))
    body["checkpoint"] = sign_checkpoint(note, LogKey.load(life.custody.config.keys / "log.pem"))
    bundle.write_bytes(written(body))
    code, report = verify(bundle, trust)
    assert code == 4
    assert f"entry {life.record.size} cannot be read" in reasons(report)
    assert reason in reasons(report)


def enrolment(name: str, person: str, roles: list[str], public: str, keyid: str) -> tuple[Subject, str, dict[str, Any]]:
    said = {"name": name, "person": person, "roles": roles, "key": public, "keyid": keyid, "status": "active"}
    return Subject(f"actor:{name}", keyid), kinds.ENROLMENT, said


def alias(life: Life) -> int:
    mel = life.desk.actor("mel")
    return life.forge("olga", *enrolment("melanie", "melanie", ["approver"], mel.key, mel.keyid))


def escalate(life: Life) -> int:
    mel = life.desk.actor("mel")
    return life.forge("mel", *enrolment("mel", "mel", ["approver", "owner"], mel.key, mel.keyid))


def wrong_keyid(life: Life) -> int:
    mel = life.desk.actor("mel")
    return life.forge("olga", *enrolment("eve", "eve", ["approver"], mel.key, "0" * 64))


def unknown_role(life: Life) -> int:
    key = PersonKey.generate()
    return life.forge("olga", *enrolment("eve", "eve", ["god"], key.public, key.keyid))


def no_p256(life: Life) -> int:
    return life.forge("olga", *enrolment("eve", "eve", ["approver"], "ssh-ed25519 AAAA", "0" * 64))


def revoked(life: Life) -> int:
    about, kind, said = enrolment("val", "val", [], life.desk.actor("val").key, life.desk.actor("val").keyid)
    life.say("olga", Action.ENROL, about, kind, {**said, "status": "revoked"})
    return life.forge("val", life.model, kinds.APPROVAL, {"use_case": "loans", "verdict": "approve", "reason": ""})


def by_trainer_role(life: Life) -> int:
    return life.forge("mel", life.model, kinds.APPROVAL, {"use_case": "loans", "verdict": "approve", "reason": ""})


MISPLACED: dict[str, tuple[Callable[[Life], int], str]] = {
    "a second name for one key": (alias, "melanie has the same key as mel"),
    "a role for oneself": (escalate, "mel may not say actor-enrolment"),
    "a key id of another key": (wrong_keyid, "does not fit the key"),
    "a role nobody knows": (unknown_role, "unknown role"),
    "a key of another kind": (no_p256, "not an uncompressed P-256 public key"),
    "a revoked key": (revoked, "signed by a key that is not on record"),
    "an approval without the role": (by_trainer_role, "mel may not say approval"),
}


@pytest.mark.parametrize(("change", "reason"), MISPLACED.values(), ids=MISPLACED)
def test_an_entry_by_somebody_who_may_not_is_refused(
    tmp_path: Path, change: Callable[[Life], int], reason: str
) -> None:
    life = honest_life(tmp_path / "life")
    index = change(life)
    code, report = verify_life(life, tmp_path)
    assert code == 4
    assert f"entry {index} does not count" in reasons(report)
    assert reason in reasons(report)


# A verdict typed by an insider with every key, correctly signed and logged: only recomputation can tell.


def typed_go(life: Life) -> int:
    """Record GO whatever the record gives: all rulings met, outcome and signature right."""
    at = life.later(0)
    found = judge(life.record, life.model.sha256, "loans", at)
    rulings = tuple(dataclasses.replace(ruling, status=Status.MET) for ruling in found.rulings)
    typed: Decision = dataclasses.replace(found, rulings=rulings)
    assert str(typed.verdict) == "GO"
    assert str(found.verdict) != "GO", "the manipulation under test would have been GO anyway"
    return life.forge("val", life.model, kinds.DECISION, typed.to_predicate())


def lived(folder: Path, **how: Any) -> Life:
    """Live with one thing wrong; `how` says which."""
    life = Life(folder)
    life.enrol_all()
    for name, roles in how.get("roles", {}).items():
        add_person(life.custody, "olga", name, roles)
    if how.get("source", True):
        life.decide_source()
    life.register_data(**how.get("data", {}))
    life.check_data()
    if how.get("opened_before"):
        opening = {"held_out": life.held_out, "model": digest("m"), "seal": digest("s"), "purpose": "validation"}
        life.say("val", Action.VALIDATE, Subject("held-out", life.held_out), kinds.OPENING, opening)
    document = {**criteria_document("loans"), **how.get("criteria", {})}
    author = how.get("author", "dana")
    seal = life.say(author, Action.SEAL, life.case, kinds.SEAL, life.sealed(document, how.get("policy")))
    life.countersign(seal)
    for number in range(how.get("attempts", 1) - 1):
        life.start(seal, f"try{number}")
    started = {**life.started(seal), **how.get("start", {})}
    start = life.say("mel", Action.START_RUN, run_subject("run1"), kinds.TRAINING_START, started)
    if how.get("finisher"):
        life.say(how["finisher"], Action.START_RUN, life.model, kinds.TRAINING_FINISH, life.finished(start))
    else:
        life.finish(start, **how.get("finish", {}))
    for _ in range(how.get("openings", 1)):
        life.validate(seal, **how.get("measured", {}))
    for who in how.get("approvers", ("ari", "cora")):  # past the desk, which stops some of them
        life.forge(
            who,
            life.model,
            kinds.APPROVAL,
            {"use_case": "loans", "verdict": "approve", "reason": f"read {life.record.size} entries"},
        )
    return life


def with_result(
    life: Life, who: str = "val", inputs: dict[str, Any] | None = None, evaluator: str = "", **measure: Any
) -> None:
    """Make the only result that says P1 is met one that must not count; `measure` replaces parts of it."""
    life.evaluator = evaluator or life.evaluator
    honest = [e for e in life.record.about(life.model.sha256, kinds.CHECK_RESULT) if "opening" in e.predicate["inputs"]]
    changed = {key: value(life) if callable(value) else value for key, value in (inputs or {}).items()}
    stage = measure.pop("stage", "validation")
    good = {**honest[0].predicate["inputs"], **changed}
    said = life.result("performance.classification", {"balanced_accuracy": (0.84, 0.82, 0.86)}, good, stage=stage)
    twice = measure.pop("twice", False)
    said["measures"] = [{**found, **measure} for found in said["measures"]] * (2 if twice else 1)
    action = Action.VALIDATE if who == "val" else Action.CHECK_DATA
    life.say(who, action, life.model, kinds.CHECK_RESULT, said)
    for name in ("ari", "cora"):
        life.approve(name)


def elsewhere(folder: Path) -> Life:
    """Start from a checkpoint that no ledger had, with the seed that follows from it."""
    life, seal = prepared_life(folder)
    root = digest("a ledger of my own")
    checkpoint = {"size": life.record.size, "root": root}
    seed = derive_seed(root, seal.digest, [("train", life.train_data)])
    said = {**life.started(seal), "checkpoint": checkpoint, "seed": seed}
    life.finish(life.say("mel", Action.START_RUN, run_subject("run1"), kinds.TRAINING_START, said))
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def unvalidated(folder: Path, **kinds_of_wrong: Any) -> Life:
    """Live without a result for P1 but one that must not count."""
    life, seal = trained_life(folder)
    result = life.result
    life.result = lambda check, *rest, **more: result(  # type: ignore[method-assign]
        "performance.other" if check == "performance.classification" else check, *rest, **more
    )
    life.validate(seal)
    life.result = result  # type: ignore[method-assign]
    with_result(life, **kinds_of_wrong)
    return life


def inconclusive(folder: Path, roles: dict[str, list[str]] | None = None, who: str = "ari", **waiver: Any) -> Life:
    """Live with P1 inconclusive and a waiver that must not count."""
    life = lived(folder, roles=roles or {}, measured={"balanced_accuracy": (0.76, 0.74, 0.78)})
    said = {
        "use_case": "loans",
        "criterion": "P1",
        "reason": "for a while",
        "control": "somebody looks",
        "expires": life.later(20),
    }
    life.forge(who, life.model, kinds.WAIVER, {**said, **{k: v(life) if callable(v) else v for k, v in waiver.items()}})
    return life


def with_late_result(folder: Path) -> Life:
    life = lived(folder)
    seal = life.record.latest(kinds.SEAL)
    assert seal is not None
    life.validate(seal)
    return life


def with_incident(folder: Path) -> Life:
    life = lived(folder)
    said = {"incident": "i1", "type": "poisoning", "reason": "seen", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, Subject("train", life.train_data), kinds.INCIDENT, said)
    life.forge("otto", Subject("train", life.train_data), kinds.INCIDENT, {**said, "status": "closed"})
    return life


def retired(folder: Path) -> Life:
    life = lived(folder)
    retire(life)
    return life


def with_risk(folder: Path, *, status: str, days: float | None, who: str, roles: dict[str, list[str]] | None) -> Life:
    life = lived(folder, roles=roles or {})
    life.risk("theft", status, "so be it", expires=None if days is None else life.later(days), who=who)
    return life


def rejected(folder: Path) -> Life:
    life = lived(folder)
    life.approve("cora", "reject", "it is unfair to the old")
    return life


def with_second_seal(folder: Path) -> Life:
    """Seal a second time and train the same bytes again: they were known before that seal."""
    life = lived(folder)
    life.train(life.say("dana", Action.SEAL, life.case, kinds.SEAL, life.sealed()), "run2")
    return life


def opened_for(**other: str) -> Callable[[Life], str]:
    """Return what makes an opening of the held-out set that is not for this model and seal."""

    def make(life: Life) -> str:
        seal = life.record.latest(kinds.SEAL)
        assert seal is not None
        said = {"held_out": life.held_out, "model": life.model.sha256, "seal": seal.digest, "purpose": "validation"}
        about = Subject("held-out", life.held_out)
        return life.say("val", Action.VALIDATE, about, kinds.OPENING, {**said, **other}).digest

    return make


def somebody_elses_opening(life: Life) -> str:
    add_person(life.custody, "olga", "vera", ["validator"])
    seal = life.record.latest(kinds.SEAL)
    assert seal is not None
    said = {"held_out": life.held_out, "model": life.model.sha256, "seal": seal.digest, "purpose": "validation"}
    return life.say("vera", Action.VALIDATE, Subject("held-out", life.held_out), kinds.OPENING, said).digest


def with_data_checked_by_a_maker(folder: Path) -> Life:
    """Let the trainer, a data engineer too, be the only one who checked the data."""
    life = Life(folder)
    life.enrol_all()
    add_person(life.custody, "olga", "mel", ["ml_engineer", "data_engineer"])
    life.decide_source()
    life.register_data()
    said = life.result("data.contamination", {"excess_rate": (0.0, 0.0, 0.001)}, {}, stage="data")
    life.say("mel", Action.CHECK_DATA, Subject("train", life.train_data), kinds.CHECK_RESULT, said)
    seal = life.seal()
    life.train(seal)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def trained_on_the_exam(folder: Path) -> Life:
    """Register the held-out file a second time, under a name that sounds like training data."""
    life = Life(folder)
    life.enrol_all()
    life.decide_source()
    life.register_data(files=[{"path": "x.csv", "size": 9, "sha256": digest("one file")}])
    life.check_data()
    seal = life.seal()
    life.train(seal)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def without_baseline(folder: Path) -> Life:
    """Seal the owner's policy, and leave out the criteria that it demands."""
    life, _ = prepared_life(folder)
    said = life.sealed()
    said["criteria"]["criterion"] = [item for item in said["criteria"]["criterion"] if item["id"] != "B1"]
    seal = life.say("dana", Action.SEAL, life.case, kinds.SEAL, said)
    life.train(seal)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def sealed_with(**held_out: Any) -> Callable[[Path], Life]:
    """Return a life whose seal describes its held-out set otherwise."""

    def make(folder: Path) -> Life:
        life, _ = prepared_life(folder)
        said = life.sealed()
        changed = {key: value(life) if callable(value) else value for key, value in held_out.items()}
        said["held_out"] |= changed
        seal = life.say("dana", Action.SEAL, life.case, kinds.SEAL, said)
        life.train(seal)
        life.validate(seal)
        for who in ("ari", "cora"):
            life.approve(who)
        return life

    return make


def scanned_by_the_trainer(folder: Path) -> Life:
    """Let the trainer, a validator too, add a result of another stage than validation."""
    life = lived(folder)
    add_person(life.custody, "olga", "mel", ["ml_engineer", "validator"])
    inputs = life.record.about(life.model.sha256, kinds.CHECK_RESULT)[0].predicate["inputs"]
    said = life.result("artifact.scan", {"critical_findings": (0.0, 0.0, 0.0)}, inputs, stage="artifact")
    life.forge("mel", life.model, kinds.CHECK_RESULT, said)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def opened_by_another_name(folder: Path, *, before: int = 0, after: int = 0) -> Life:
    """Register the held-out file once more and open it by that name, before the seal or after it."""
    life = Life(folder)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    said = dict(life.record.about(life.held_out, kinds.DATASET)[-1].predicate)
    del said["id"]
    twin = Subject("twin", digest("twin"))
    life.say("petra", Action.REGISTER_DATA, twin, kinds.DATASET, {**said, "name": "twin", "purpose": "live"})
    opening = {"held_out": twin.sha256, "model": digest("m"), "seal": digest("s"), "purpose": "a look"}
    for _ in range(before):
        life.say("val", Action.VALIDATE, twin, kinds.OPENING, opening)
    seal = life.seal()
    life.train(seal)
    for _ in range(after):
        life.say("val", Action.VALIDATE, twin, kinds.OPENING, opening)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def with_unknown_data(folder: Path) -> Life:
    life, seal = prepared_life(folder)
    life.train_data = digest("never registered")
    life.train(seal)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


INVOLVED = {"mel": ["ml_engineer", "approver"]}
TYPED: dict[str, tuple[Callable[[Path], Life], str]] = {
    "unfair": (lambda f: lived(f, measured={"equal_opportunity_difference": (0.2, 0.17, 0.23)}), "F1[region]: "),
    "too few approvals": (lambda f: lived(f, approvers=("ari",)), "pending: 1 of 2"),
    "approval by the trainer": (lambda f: lived(f, roles=INVOLVED, approvers=("ari", "mel")), "pending: 1 of 2"),
    "approval by the validator": (
        lambda f: lived(f, roles={"val": ["validator", "approver"]}, approvers=("ari", "val")),
        "pending: 1 of 2",
    ),
    "approvals older than a result": (with_late_result, "pending: 0 of 2"),
    "a rejection passed over": (rejected, "cora rejected the model"),
    "a checkpoint of another ledger": (
        lambda f: lived(f, start={"checkpoint": {"size": 25, "root": digest("x")}}),
        "process.sealed_before_training",
    ),
    "a seed that was chosen": (lambda f: lived(f, start={"seed": 42}), "seed does not follow"),
    "a run without a seal": (lambda f: lived(f, start={"seal": ""}), "no sealed criteria"),
    "other data at the finish": (lambda f: lived(f, finish={"data": digest("poisoned")}), "name different data"),
    "data nobody registered": (with_unknown_data, "not a dataset registered before the run"),
    "data of an untrusted source": (lambda f: lived(f, data={"trust": "untrusted"}), "trust level 'untrusted'"),
    "data without a licence": (lambda f: lived(f, data={"licence": ""}), "no licence"),
    "data whose approval expired": (
        lambda f: lived(f, data={"source_expires": "2020-01-01T00:00:00+00:00"}),
        "approval of the source",
    ),
    "a compromised run": (lambda f: lived(f, finish={"compromised": ("data swapped",)}), "run was compromised"),
    "no isolation": (lambda f: lived(f, start={"isolation": {"kind": "none"}}), "isolation: none"),
    "no code on record": (lambda f: lived(f, start={"code": {}}), "code or environment"),
    "finished by another person": (
        lambda f: lived(f, roles={"dana": ["data_scientist", "ml_engineer"]}, finisher="dana"),
        "different persons",
    ),
    "the same model under two seals": (with_second_seal, "under another seal as well"),
    "trained by the author": (
        lambda f: lived(f, roles={"mel": ["ml_engineer", "data_scientist"]}, author="mel"),
        "wrote the criteria and trained",
    ),
    "validated by the trainer": (
        lambda f: lived(f, roles={"val": ["validator", "data_scientist"]}, author="val"),
        "validated a model of their own",
    ),
    "result by no validator": (lambda f: unvalidated(f, who="petra"), "was not made by a validator"),
    "result of another evaluator": (lambda f: unvalidated(f, evaluator=digest("easy")), "another evaluator"),
    "result on other held-out data": (lambda f: unvalidated(f, inputs={"held_out": digest("easy")}), "held-out set"),
    "result under another seal": (lambda f: unvalidated(f, inputs={"seal": digest("easy")}), "another seal"),
    "a result of another stage": (lambda f: unvalidated(f, stage="data"), "not made in the stage"),
    "a result of another record": (lambda f: unvalidated(f, inputs={"record": digest("x")}), "held-out set"),
    "a result without a wall": (lambda f: unvalidated(f, inputs={"isolation": "none"}), "without a wall"),
    "a result without an opening": (lambda f: unvalidated(f, inputs={"opening": ""}), "names no opening"),
    "an opening for another model": (
        lambda f: unvalidated(f, inputs={"opening": opened_for(model=digest("x"))}),
        "an opening for something else",
    ),
    "an opening under another seal": (
        lambda f: unvalidated(f, inputs={"opening": opened_for(seal=digest("x"))}),
        "an opening for something else",
    ),
    "somebody else's opening": (
        lambda f: unvalidated(f, inputs={"opening": somebody_elses_opening}),
        "names no opening of the held-out set by its own signer",
    ),
    "data checked by a maker": (with_data_checked_by_a_maker, "D1: "),
    "scanned by the trainer": (scanned_by_the_trainer, "mel validated a model of their own"),
    "a look at the exam by another name": (lambda f: opened_by_another_name(f, before=1), "post-hoc"),
    "openings of the exam by another name": (
        lambda f: opened_by_another_name(f, after=3),
        "exhausted: 4 openings, sealed budget 3",
    ),
    "trained on the exam": (trained_on_the_exam, "trained on its own exam"),
    "a policy of the author's own": (
        lambda f: lived(f, policy={"approvals": 1}, approvers=("ari",)),
        "another policy than the owner's",
    ),
    "solo by the author's word": (lambda f: lived(f, policy={"solo": True}), "another policy than the owner's"),
    "another tier": (lambda f: lived(f, criteria={"tier": "low"}), "another policy than the owner's"),
    "criteria of the policy left out": (without_baseline, "leaves out criteria"),
    "held-out data nobody registered": (sealed_with(record=digest("x")), "names no earlier record"),
    "the record of other held-out data": (
        sealed_with(record=lambda life: life.registered(life.train_data)),
        "the record of another held-out set",
    ),
    "a result of no rows": (lambda f: unvalidated(f, n=0), "P1: "),
    "a count that is no number": (lambda f: unvalidated(f, n=True), "P1: "),
    "an interval without its estimate": (lambda f: unvalidated(f, value=0.9), "interval without its own estimate"),
    "no interval": (lambda f: unvalidated(f, low=None), "not a finite number with an interval"),
    "two answers in one result": (lambda f: unvalidated(f, twice=True), "P1: "),
    "a checkpoint of no ledger, with its seed": (elsewhere, "checkpoint is not one of this ledger"),
    "an expired waiver": (
        lambda f: inconclusive(f, at=lambda life: life.later(-40), expires=lambda life: life.later(-20)),
        "P1: ",
    ),
    "a waiver made in the future": (lambda f: inconclusive(f, at=lambda life: life.later(2)), "P1: "),
    "a run for another use case": (lambda f: lived(f, start={"use_case": "cards"}), "different use cases"),
    "a waiver for too long": (lambda f: inconclusive(f, expires=lambda life: life.later(31)), "P1: "),
    "a waiver by the trainer": (lambda f: inconclusive(f, roles=INVOLVED, who="mel"), "P1: "),
    "a waiver for another use case": (lambda f: inconclusive(f, use_case="cards"), "P1: "),
    "post-hoc criteria": (lambda f: lived(f, opened_before=True), "post-hoc"),
    "too many openings": (lambda f: lived(f, openings=4), "exhausted: 4 openings, sealed budget 3"),
    "too many attempts": (lambda f: lived(f, attempts=4), "exhausted: 4 attempts, sealed budget 3"),
    "no sourcing decision": (lambda f: lived(f, source=False), "no sourcing decision"),
    "an open risk": (lambda f: with_risk(f, status="open", days=None, who="sam", roles=None), "theft is open"),
    "a risk accepted too long ago": (
        lambda f: with_risk(f, status="accepted", days=-1, who="sam", roles=None),
        "acceptance of risk theft has expired",
    ),
    "a risk accepted by a maker": (
        lambda f: with_risk(f, status="accepted", days=9, who="mel", roles=INVOLVED),
        "accepted by mel, a maker",
    ),
    "an incident closed by no security manager": (with_incident, "incident i1 (poisoning) is open"),
    "a retired model": (retired, "the model is retired"),
    "a policy without approvals": (lambda f: lived(f, policy={"approvals": 0}), "another policy than the owner's"),
    "criteria that cannot be read": (lambda f: lived(f, criteria={"criterion": [{"id": "P1"}]}), "cannot be read"),
}


@pytest.mark.parametrize(("live", "reason"), TYPED.values(), ids=TYPED)
def test_a_typed_go_is_refused_with_what_the_record_gives(
    tmp_path: Path, live: Callable[[Path], Life], reason: str
) -> None:
    life = live(tmp_path / "life")
    index = typed_go(life)
    code, report = verify_life(life, tmp_path)
    assert (code, report["answer"]) == (4, "REFUSED")
    assert f"the gate-decision in entry {index} says GO; the record gives" in reasons(report)
    assert reason in reasons(report)


def test_the_same_lives_with_nothing_wrong_are_go(tmp_path: Path) -> None:
    """The table above varies these; were they not GO, it would prove nothing."""
    life = lived(tmp_path / "a")
    life.decide()
    assert verify_life(life, tmp_path)[0] == 0
    life = inconclusive(tmp_path / "b")
    life.decide()
    assert verify_life(life, tmp_path)[0] == 0
    life = unvalidated(tmp_path / "c")
    life.decide()
    assert verify_life(life, tmp_path)[0] == 0
    life = opened_by_another_name(tmp_path / "d", after=2)
    life.decide()
    assert verify_life(life, tmp_path)[0] == 0


# Decisions and admissions that do not follow.


def said_by(life: Life, kind: str) -> dict[str, Any]:
    found = life.record.latest(kind)
    assert found is not None
    return {name: value for name, value in found.predicate.items() if name != "at"}


def again(**changes: Any) -> Callable[[Life], int]:
    """Decide once more, honestly, with something in the decision changed."""

    def make(life: Life) -> int:
        found = judge(life.record, life.model.sha256, "loans", life.later(0)).to_predicate()
        return life.forge("val", life.model, kinds.DECISION, {**found, **changes})

    return make


def admitted(**changes: Any) -> Callable[[Life], int]:
    """Admit once more, with something changed."""

    def make(life: Life) -> int:
        about = changes.get("about", life.model)
        said = {**said_by(life, kinds.ADMISSION), **{k: v for k, v in changes.items() if k != "about"}}
        return life.forge("val", about, kinds.ADMISSION, said)

    return make


def deployed(**changes: Any) -> Callable[[Life], int]:
    """Deploy, with something changed."""

    def make(life: Life) -> int:
        admission = life.record.latest(kinds.ADMISSION)
        assert admission is not None
        said = {"use_case": "loans", "environment": "production", "admission": admission.digest, "copies": []}
        return life.forge("otto", life.model, kinds.DEPLOYMENT, {**said, **changes})

    return make


def looked_away(life: Life) -> int:
    """Decide on the record as it stood before a bad result came in."""
    before = judge(life.record, life.model.sha256, "loans", life.later(0))
    seal = life.record.latest(kinds.SEAL)
    assert seal is not None
    life.validate(seal, auc=(0.9, 0.88, 0.92))
    return life.forge("val", life.model, kinds.DECISION, before.to_predicate())


def backdated(life: Life) -> int:
    """Decide as if it were yesterday, when some waiver still held."""
    found = judge(life.record, life.model.sha256, "loans", life.later(-1))
    rulings = tuple(dataclasses.replace(ruling, status=Status.MET) for ruling in found.rulings)
    return life.forge("val", life.model, kinds.DECISION, dataclasses.replace(found, rulings=rulings).to_predicate())


def after_no_go(life: Life) -> int:
    """Admit by a decision that was NO-GO."""
    seal = life.record.latest(kinds.SEAL)
    assert seal is not None
    life.validate(seal, auc=(0.9, 0.88, 0.92))
    assert str(life.decide().verdict) == "NO-GO"
    decision = life.record.latest(kinds.DECISION)
    assert decision is not None
    return admitted(decision=decision.digest, expires=decision.predicate["expires"])(life)


OTHER = Subject("loans", digest("another model"))
UNFOUNDED: dict[str, tuple[Callable[[Life], int], str]] = {
    "a ruling left out": (again(rulings=[]), "other rulings"),
    "another outcome": (again(outcome=digest("x")), "has the outcome"),
    "another end": (again(expires="2099-01-01T00:00:00+00:00"), "has the expires"),
    "another root": (again(root=digest("x")), "has the root"),
    "another assurance": (again(assurance="solo"), "has the assurance"),
    "a size from the future": (again(size=10_000), "not made from all that was on record"),
    "a smaller size": (again(size=30), "not made from all that was on record"),
    "NO-GO typed over GO": (again(verdict="NO-GO"), "says NO-GO; the record gives GO"),
    "entries left out": (looked_away, "not made from all that was on record"),
    "a date before the evidence": (backdated, "process.time"),
    "an admission of another model": (admitted(about=OTHER), "no earlier decision about this model"),
    "an admission by no decision": (admitted(decision=digest("x")), "no earlier decision about this model"),
    "an admission for longer": (admitted(expires="2099-01-01T00:00:00+00:00"), "another use case or end"),
    "an admission for another use case": (admitted(use_case="cards"), "another use case or end"),
    "an admission after NO-GO": (after_no_go, "follows a decision that is NO-GO"),
    "a deployment by no admission": (deployed(admission=digest("x")), "no earlier admission"),
    "a deployment elsewhere": (deployed(environment="branch"), "no earlier admission"),
}


@pytest.mark.parametrize(("change", "reason"), UNFOUNDED.values(), ids=UNFOUNDED)
def test_what_does_not_follow_is_refused(tmp_path: Path, change: Callable[[Life], int], reason: str) -> None:
    life = honest_life(tmp_path / "life")
    index = change(life)
    code, report = verify_life(life, tmp_path)
    assert code == 4
    assert f"in entry {index} " in reasons(report)
    assert reason in reasons(report)


def test_what_follows_is_confirmed(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    again()(life)
    assert str(life.decide("shadow").verdict) == "GO"
    admitted(environment="branch")(life)
    deployed(environment="branch")(life)
    assert verify_life(life, tmp_path)[0] == 0


def test_the_same_bytes_may_come_out_of_two_runs_under_one_seal(tmp_path: Path) -> None:
    life, seal = trained_life(tmp_path / "life")
    life.train(seal, "run2")
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    life.decide()
    assert verify_life(life, tmp_path)[0] == 0


def test_solo_is_not_admitted_to_production(tmp_path: Path) -> None:
    life = Life(tmp_path / "life", solo=True)
    everybody(life, "olga")
    assert verify_life(life, tmp_path)[0] == 0
    said = {**said_by(life, kinds.ADMISSION), "environment": "production"}
    life.forge("olga", life.model, kinds.ADMISSION, said)
    code, report = verify_life(life, tmp_path)
    assert code == 4
    assert "one person made alone" in reasons(report)


# Bad usage, and no traceback whatever comes.

UNREADABLE: dict[str, tuple[bytes | None, bytes | None]] = {
    "no file": (None, b""),
    "an empty file": (b"", b""),
    "no JSON": (b"hello", b""),
    "another format": (b'{"format":"x"}', b""),
    "a list": (b"[]", b""),
    "no trust file": (b"", None),
    "a trust root with a key twice": (b"", b'{"format":1,"format":1}'),
    "a trust root with other fields": (b"", b"{}"),
}


@pytest.mark.parametrize(("bundle", "trust"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_ends_with_two(
    honest: tuple[Life, Path, Path], tmp_path: Path, bundle: bytes | None, trust: bytes | None
) -> None:
    paths = []
    for name, raw, good in (("b", bundle, honest[1]), ("t", trust, honest[2])):
        path = tmp_path / name
        if raw is not None:
            path.write_bytes(raw or (good.read_bytes() if name == "t" or trust != b"" else b""))
        paths.append(path)
    code, report = verify(*paths)
    assert (code, report["answer"]) == (2, "UNREADABLE")


@pytest.mark.parametrize(
    "words",
    [["--seen", "x"], ["--model", "../x"], ["--at", "tomorrow"], ["--at", "2026-01-01"]],
    ids=" ".join,
)
def test_bad_usage_ends_with_two(honest: tuple[Life, Path, Path], words: list[str]) -> None:
    assert verify(honest[1], honest[2], *words)[0] == 2


def test_two_bundles_are_one_too_many(honest: tuple[Life, Path, Path]) -> None:
    assert main([str(honest[1]), str(honest[1]), "--trust", str(honest[2])]) == 2


def test_people_read_the_answer_first(honest: tuple[Life, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(honest[1]), "--trust", str(honest[2])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("GO, freshness unproven ")
    assert any("freshness unproven" in line for line in lines)


@settings(max_examples=100)
@given(data=st.data())
def test_whatever_the_bytes_the_verifier_answers(honest: tuple[Life, Path, Path], data: st.DataObject) -> None:
    """Any edit of the file ends with one of the documented codes; GO only if nothing that counts was touched."""
    raw = bytearray(honest[1].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        spot = data.draw(st.integers(0, len(raw) - 1))
        raw[spot : spot + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"0", b" "])
        )
    spoilt = honest[1].with_name("spoilt.json")
    spoilt.write_bytes(raw)
    code, report = verify(spoilt, honest[2])
    assert code in (0, 2, 4)
    if code == 0:
        assert report["root"] == honest[0].record.root


def test_hostile_names_cannot_move_the_cursor_of_whoever_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = honest_life(tmp_path / "life")
    said = {"incident": "\x1b[2J\u202egood", "type": "x\ny", "reason": "", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, said)
    bundle, trust = life.export(tmp_path)
    assert main([str(bundle), "--trust", str(trust)]) == 0
    out = capsys.readouterr().out
    assert "is open" in out
    assert out.isascii()
    assert all(line.isprintable() for line in out.splitlines())

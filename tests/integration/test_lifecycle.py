"""One honest life by ordinary commands, and what each stage must refuse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOAD = """
import json, sys, custody, pandas as pd
from custody.errors import CustodyError
names = ["amount_ratio", "distance_km", "merchant_risk", "count_24h", "country_mismatch"]
try:
    with custody.load("card-fraud", environment="production", actor="otto") as model:
        answers = model.predict_proba(pd.read_csv("live/2026-02.csv")[names].astype(float).head(50))
    print(json.dumps({"rows": len(answers), "sums": float(answers.sum())}))
except CustodyError as error:
    print(json.dumps({"refused": type(error).__name__, "message": error.message}))
"""

Life = Callable[[str, Path], Any]


@pytest.fixture
def released(life: Life, tmp_path: Path) -> Any:
    return life("released", tmp_path)


def load(python: Any, place: Any) -> dict[str, Any]:
    said = python(place, LOAD)
    assert said.code == 0, said.err
    body: dict[str, Any] = json.loads(said.out)
    return body


def test_the_honest_life_ends_in_go(released: Any) -> None:
    decided = released.steps["decide"].body
    assert decided["verdict"] == "GO"
    shown = released.custody("gate", "show")
    assert shown.code == 0
    assert released.sound() > 30
    standing = released.plain("status")
    assert standing.code == 0
    assert "card-fraud" in standing.out


def test_from_deployment_to_retirement(released: Any, python: Any) -> None:
    model = released.steps["run"].body["model"]
    assert released.custody("deploy", "--env", "staging", who="otto").code == 3, "no admission names staging"
    assert released.custody("deploy", "--env", "production", who="mel").code == 5
    assert released.custody("deploy", "--env", "production", who="otto").code == 0

    answer = load(python, released)
    assert answer["rows"] == 50
    assert answer["sums"] == pytest.approx(50.0)
    log = released.custody("watch", "log")
    assert log.code == 0
    assert [segment["count"] for segment in log.body["segments"]] == [50]
    segment = log.body["segments"][0]["segment"]
    traced = released.custody("watch", "trace", f"{segment}-7")
    assert traced.code == 0
    assert traced.body["model"]["sha256"] == model

    path = next(released.folder.rglob(f"{segment}.jsonl"))
    whole = path.read_text()
    path.write_text(whole.replace('"score": 0', '"score": 1', 1))
    edited = released.plain("watch", "log")
    assert edited.code == 4
    assert segment in edited.err
    path.write_text(whole)
    assert released.custody("watch", "log").code == 0

    opened = released.custody(
        "incident", "open", model[:12], "--type", "leak", "--reason", "a list was found", who="otto"
    )
    assert opened.code == 0
    refused = load(python, released)
    assert refused["refused"] == "NotPermitted"
    assert opened.body["incident"] in refused["message"]
    assert released.custody("deploy", "--env", "production", who="otto").code == 5
    over = ["incident", "close", opened.body["incident"], "--reason", "the list was not ours after all"]
    assert released.custody(*over, who="otto").code == 5, "an operator may open, not close"
    assert released.custody(*over, who="sam").code == 0
    assert load(python, released)["rows"] == 50

    if released.custody("status").body["tier"] == "high":
        assert released.custody("retire", model[:12], "--reason", "replaced", "--yes", who="otto").code == 3
    assert (
        released.custody("deploy", "--env", "production", "--to", "served", "--reason", "as agreed", who="otto").code
        == 0
    )
    kept = {path.name: path.read_bytes() for path in (released.folder / "served").iterdir()}
    shutil.rmtree(released.folder / "served")
    ordered = released.custody("retire", "order", model[:12], "--reason", "replaced", who="otto")
    assert ordered.code == 0, ordered.reason
    assert released.custody("retire", "confirm", model[:12], who="otto").code == 5, "not the same person"
    assert released.custody("retire", "confirm", model[:12], who="sam").code == 0
    assert released.custody("retire", "hold", "--matter", "case 1", "--reason", "asked for", who="cora").code == 0
    assert released.custody("retire", model[:12], "--reason", "replaced", "--yes", who="otto").code == 5
    assert [row["matter"] for row in released.custody("retire", "holds").body["holds"]] == ["case 1"]
    assert released.custody("retire", "lift", "--matter", "case 1", "--reason", "it ended", who="cora").code == 0
    changed = released.custody("retire", "root-key", "--reason", "somebody left", who="otto")
    assert changed.code == 0, changed.reason
    assert load(python, released)["rows"] == 50
    retired = released.custody("retire", model[:12], "--reason", "replaced", "--yes", who="otto")
    assert retired.code == 0, retired.reason
    assert retired.body["canary"] == {"before": True, "after": False}
    assert load(python, released)["refused"] == "NotPermitted"
    assert released.custody("deploy", "--env", "production", who="otto").code == 5
    assert released.custody("validate", who="val").code == 5
    name, weights = next(iter(kept.items()))
    (released.folder / name).write_bytes(weights)
    tune = f"open({name!r}, 'rb').read()"
    tuned = released.custody("run", "--quiet", "--", sys.executable, "-c", tune, who="mel")
    assert tuned.code == 1, "a run does not see weights that came back from somewhere"
    again = released.custody("gate", "decide", "--env", "production", who="val")
    assert again.code != 0
    assert again.body.get("verdict") != "GO"
    assert released.sound() > 40


def test_people_keep_apart(life: Life, tmp_path: Path) -> None:
    place = life("validated", tmp_path)
    before = place.sound()
    for who in ("mel", "val", "dana", "otto"):
        assert place.custody("gate", "approve", who=who).code == 5, who
    early = place.custody("gate", "decide", "--env", "production", who="val")
    assert early.body["verdict"] != "GO"
    assert early.code != 0
    assert place.custody("deploy", "--env", "production", who="otto").code != 0
    denials = place.custody("audit", "people").body["denials"]
    assert {denial["actor"] for denial in denials} >= {"mel", "val", "dana", "otto"}
    assert place.sound() > before


def test_a_run_repeats_to_the_bit(life: Life, tmp_path: Path) -> None:
    place = life("trained", tmp_path)
    again = place.custody("run", "reproduce", who="val")
    assert again.code == 0, again.reason
    assert again.body["verdict"] == "bit-identical"


def test_another_seed_diverges_and_is_named(life: Life, tmp_path: Path) -> None:
    place = life("trained", tmp_path)
    again = place.custody("run", "reproduce", "--seed", "12345", who="val")
    assert (again.code, again.body["verdict"]) == (1, "diverged")
    assert "seed" in again.body["cause"]
    assert "12345" in again.body["cause"]


def test_other_code_diverges_and_is_named(life: Life, tmp_path: Path) -> None:
    place = life("trained", tmp_path)
    script = place.folder / "train.py"
    script.write_text(script.read_text().replace("frac=0.9", "frac=0.8"))
    again = place.custody("run", "reproduce", who="val")
    assert (again.code, again.body["verdict"]) == (1, "diverged")
    assert again.body["cause"] == "code: train.py differs"


def test_other_data_diverges_and_is_named(life: Life, tmp_path: Path) -> None:
    place = life("trained", tmp_path)
    table = place.folder / "data" / "train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-200]) + "\n")
    again = place.custody("run", "reproduce", who="val")
    assert (again.code, again.body["verdict"]) == (1, "diverged")
    assert again.body["cause"].startswith("data: ")
    assert "fraud-train" in again.body["cause"]
    assert place.sound()


def test_one_person_alone_does_not_reach_production(solo_of: Any, tmp_path: Path) -> None:
    place = solo_of("sealed", tmp_path)
    (place.folder / "fit.py").write_text(
        "import joblib, pandas as pd\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "data = pd.read_csv('data/train.csv')\n"
        "joblib.dump(LogisticRegression().fit(data[['a', 'b']], data['y']), 'model/model.joblib')\n"
    )
    place.must("run", "run", "--", "python", "fit.py")
    for risk in ("expertise", "training-environment"):
        place.must(risk, "source", "risk", risk, "--treat", "--reason", "reviewed by a colleague")
    place.must("validate", "validate")
    place.must("approve", "gate", "approve")
    refused = place.plain("gate", "decide", "--env", "production")
    assert refused.code == 3
    assert "one person alone" in refused.err
    assert place.custody("deploy", "--env", "production").code == 3
    decided = place.custody("gate", "decide", "--env", "staging")
    assert (decided.code, decided.body["verdict"], decided.body["assurance"]) == (0, "GO", "solo")
    assert place.custody("deploy", "--env", "staging").code == 0
    assert place.sound()

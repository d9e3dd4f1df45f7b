"""The Python interface: what it gives, what it refuses, and with which exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Life = Callable[[str, Path], Any]

REFUSED = """
import sys
import custody
from custody.errors import CustodyError
try:
    custody.load(*sys.argv[1:2], environment=sys.argv[2], actor=sys.argv[3])
except CustodyError as error:
    print(type(error).__name__, error.exit_code, error.http_status, error.message)
"""

TWICE = """
import json, threading, custody, pandas as pd
names = ["amount_ratio", "distance_km", "merchant_risk", "count_24h", "country_mismatch"]
rows = pd.read_csv("live/2026-02.csv")[names].astype(float).head(40)
with custody.load(environment="production", actor="otto") as model:
    threads = [threading.Thread(target=model.predict_proba, args=(rows,)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(json.dumps({"model": model.subject.sha256}))
"""

STAGES = """
import json, sys, custody
from custody.stages.training import run
from custody.workshop import Order
from custody.stages.release import decide
where = custody.open_custody()
done = run(where.desk, where.workshop(), "mel", where.config.use_case, Order([sys.executable, "train.py"]))
decision, evidence, admission = decide(where.desk, "val", where.config.use_case)
print(json.dumps({"model": done.model.sha256, "verdict": str(decision.verdict), "admitted": admission is not None}))
"""


def test_import_is_quiet(python: Any, life: Life, tmp_path: Path) -> None:
    source = (
        "import sys, custody\n"
        "heavy = {'numpy', 'polars', 'sklearn', 'click', 'cryptography'} & set(sys.modules)\n"
        "print(sorted(heavy), sorted(custody.__all__))\n"
        "try: custody.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    said = python(life("sealed", tmp_path), source)
    assert said.code == 0, said.err
    assert said.out.startswith("[] ")
    assert "no attribute 'nothing'" in said.out


def test_load_refuses_by_reason(python: Any, life: Life, tmp_path: Path) -> None:
    place = life("released", tmp_path)
    for words, expected in (
        (["card-fraud", "staging", "otto"], "OutOfOrder 3 409"),
        (["another", "production", "otto"], "OutOfOrder 3 409"),
        (["card-fraud", "production", "mel"], "NotPermitted 5 403"),
        (["card-fraud", "production", "nobody"], "NotPermitted 5 403"),
    ):
        said = python(place, REFUSED, *words)
        assert said.out.startswith(expected), (words, said.out, said.err)
    sealed = max(
        (place.folder / ".custody" / "vault" / "models").glob("*/*.sealed"), key=lambda path: path.stat().st_size
    )
    raw = bytearray(sealed.read_bytes())
    raw[len(raw) // 2] ^= 1
    sealed.chmod(0o600)
    sealed.write_bytes(raw)
    said = python(place, REFUSED, "card-fraud", "production", "otto")
    assert said.out.startswith("Tampered 4 422"), said.out + said.err


def test_threads_share_one_log(python: Any, life: Life, tmp_path: Path) -> None:
    place = life("released", tmp_path)
    said = python(place, TWICE)
    assert said.code == 0, said.err
    log = place.custody("watch", "log")
    assert log.code == 0, log.reason
    assert [segment["count"] for segment in log.body["segments"]] == [320]


def test_stages_from_python(python: Any, life: Life, tmp_path: Path) -> None:
    place = life("sealed", tmp_path)
    said = python(place, STAGES)
    assert said.code == 0, said.err
    body = json.loads(said.out)
    assert body["verdict"] != "GO"
    assert body["admitted"] is False
    assert place.custody("run", "list").body["runs"][-1]["model"] == body["model"]
    place.sound()


FORMS = """
import json, custody, pandas as pd, polars as pl
from custody.errors import CustodyError
frame = pd.read_csv("live/2026-02.csv").head(20)
with custody.load(environment="production", actor="otto") as model:
    names = list(model.predict_proba(frame) is not None and model._estimator.feature_names_in_)
    rows = frame[names].astype(float)
    whole = model.predict_proba(rows)
    same = [model.predict_proba(each) for each in (rows.to_numpy(), rows.to_numpy().tolist(), pl.DataFrame(
        {name: rows[name].to_list() for name in names}))]
    labels = model.predict(frame)
try:
    model.predict_proba(rows)
except CustodyError as error:
    refused = [type(error).__name__, str(error)]
print(json.dumps({
    "same": all(abs(each - whole).max() < 1e-12 for each in same),
    "labels": [bool(label) for label in labels] == [bool(p >= 0.5) for p in whole[:, 1]],
    "refused": refused,
}))
"""


def test_a_served_model_takes_rows_as_they_come_and_none_after_it_was_closed(
    python: Any, life: Life, tmp_path: Path
) -> None:
    place = life("released", tmp_path)
    said = python(place, FORMS)
    assert said.code == 0, said.err
    body = json.loads(said.out)
    assert body["same"]
    assert body["labels"]
    assert body["refused"][0] == "OutOfOrder"
    assert "(next: custody.load it again)" in body["refused"][1]
    segments = place.custody("watch", "log").body["segments"]
    assert [(segment["count"], segment["status"]) for segment in segments] == [(120, "sealed")]

"""What somebody meets who uses Custody for the first time: slips are named, and cost nothing."""

from __future__ import annotations

import sys
from typing import Any

ORIGIN = ["--source", "a test", "--owner", "olga", "--licence", "own"]


def test_a_command_that_does_not_exist_costs_no_attempt(solo: Any) -> None:
    size = solo.sound()
    solo.plain("run", "--", "pyhton", "train.py").refused(2, "'pyhton' was not found")
    solo.plain("run", "--", sys.executable, "trian.py").refused(2, "no trian.py")
    assert solo.sound() == size
    done = solo.plain("run", "--quiet", "--", sys.executable, "train.py")
    assert done.code == 0, done.both
    assert "attempt 1 of 10" in done.out


def test_the_budget_of_attempts_ends(registered: Any) -> None:
    criteria = registered.folder / "criteria.toml"
    criteria.write_text(criteria.read_text().replace("max_attempts = 10", "max_attempts = 1"))
    registered.must("seal", "gate", "seal")
    (registered.folder / "train.py").write_text("raise SystemExit(3)\n")
    failed = registered.plain("run", "--quiet", "--", sys.executable, "train.py")
    assert failed.code == 1
    assert "attempt 1 of 1" in failed.out
    size = registered.sound()
    registered.plain("run", "--", sys.executable, "train.py").refused(3, "1 of 1 training attempts are spent")
    assert registered.sound() == size


def test_two_models_in_one_output_are_refused_before_the_exam_is_opened(solo: Any) -> None:
    (solo.folder / "train.py").write_text(
        "import os, pickle\n"
        "for name in ('a.pkl', 'b.pkl'):\n"
        "    pickle.dump({}, open(os.path.join(os.environ['CUSTODY_OUT'], name), 'wb'))\n"
    )
    done = solo.plain("run", "--quiet", "--", sys.executable, "train.py")
    assert done.code == 1, done.both
    assert "no usable output" in done.both
    assert "a.pkl, b.pkl" in done.both


def test_labels_are_held_against_the_table_when_it_is_registered(registered: Any) -> None:
    (registered.folder / "more.csv").write_text("a,y\n" + "".join(f"{row},{row % 3}\n" for row in range(30)))
    register = ["data", "register", "more", "more.csv", *ORIGIN, "--trust", "trusted", "--target", "y"]
    registered.plain(*register, "--positive", "yes").refused(2, "'yes' never occurs in 'y'; it has 0, 1, 2")
    said = registered.plain(*register, "--positive", "1")
    assert said.code == 0, said.both
    assert "3 values: '1' is read as positive" in said.out
    same = ["data", "register", "exam", "more.csv", *ORIGIN, "--trust", "trusted", "--target", "y", "--positive", "1"]
    registered.plain(*same, "--purpose", "held_out").refused(2, "shares bytes with more")


def test_raised_trust_is_told(registered: Any) -> None:
    (registered.folder / "more.csv").write_text("a,y\n1,0\n2,1\n")
    register = ["data", "register", "more", "more.csv", *ORIGIN, "--target", "y", "--positive", "1", "--trust"]
    assert registered.plain(*register, "untrusted").code == 0
    registered.plain(*register, "partner").refused(2, "needs a reason")
    said = registered.plain(*register, "partner", "--reason", "a contract was signed")
    assert said.code == 0, said.both
    assert "was untrusted in entry" in said.out
    assert "now partner" in said.out


def test_a_model_of_unnamed_columns_is_told_what_to_do(registered: Any) -> None:
    registered.must("seal", "gate", "seal")
    (registered.folder / "train.py").write_text(
        "import os, pickle\n"
        "import numpy as np\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])\n"
        "pickle.dump(model, open(os.path.join(os.environ['CUSTODY_OUT'], 'model.pkl'), 'wb'))\n"
    )
    registered.must("run", "run", "--", sys.executable, "train.py")
    measured = registered.plain("validate")
    assert measured.code == 3, measured.both
    told = registered.plain("validate", "--full").out
    assert "--ignore" in told
    assert "train on a data frame" in told


def test_after_a_no_go_the_way_on_is_named(registered: Any) -> None:
    registered.must("seal", "gate", "seal")
    (registered.folder / "train.py").write_text(
        "import os, joblib\n"
        "import pandas as pd\n"
        "from sklearn.dummy import DummyClassifier\n"
        "data = pd.read_csv('data/train.csv')\n"
        "model = DummyClassifier().fit(data[['a', 'b']], data['y'])\n"
        "joblib.dump(model, os.path.join(os.environ['CUSTODY_OUT'], 'model.joblib'))\n"
    )
    registered.must("run", "run", "--", sys.executable, "train.py")
    measured = registered.plain("validate")
    assert measured.code == 1, measured.both
    assert "P1 not met; train another model (attempt 2 of 10)" in measured.out
    approved = registered.plain("gate", "approve")
    assert approved.code == 0, approved.both
    assert "WARNING: the record says NO-GO whoever approves: process.risks, P1 not met" in approved.out
    decided = registered.plain("gate", "decide")
    assert decided.code == 1
    assert decided.out.strip().splitlines()[-1].startswith("NO-GO")
    waiting = registered.plain("next").out
    assert "custody run -- python train.py" in waiting
    assert "attempt 2 of 10" in waiting

"""Commands at the same moment: each waits its turn, none is lost, and there is one history."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

COUNT = 25


def test_two_writers(solo: Any) -> None:
    before = solo.sound()

    def write(letter: str) -> list[int]:
        entries = []
        for number in range(COUNT):
            step = solo.custody("init", "person", f"{letter}{number}", "--role", "validator")
            assert step.code == 0, step.reason
            entries.append(int(step.body["entry"]))
        return entries

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(write, "xy")
    assert first == sorted(first)
    assert second == sorted(second)
    assert sorted([*first, *second]) == list(range(before, before + 2 * COUNT))
    assert solo.sound() == before + 2 * COUNT
    people = {row["name"] for row in solo.custody("audit", "people").body["people"]}
    assert people >= {f"{letter}{number}" for letter in "xy" for number in range(COUNT)}


def test_one_name_twice_at_once(solo: Any) -> None:
    """Two persons of one name: one key, one enrolment that counts, and a whole ledger."""
    processes = [solo.begin("init", "person", "ann", "--role", "validator", "--json") for _ in range(4)]
    said = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert any(code == 0 for _, code in said)
    for (out, err), code in said:
        assert code in (0, 2, 5, 6), out + err
        assert b"Traceback" not in out + err
    solo.sound()
    people = [row for row in solo.custody("audit", "people").body["people"] if row["name"] == "ann"]
    assert len(people) == 1
    assert solo.custody("init", "person", "ann", "--role", "approver").code == 0
    approved = solo.custody(
        "source", "risk", "expertise", "--accept", "30", "--reason", "until the training in May", who="ann"
    )
    assert approved.code == 0, approved.reason


def test_two_runs_at_once(solo: Any) -> None:
    (solo.folder / "slow.py").write_text(
        "import os, time\ntime.sleep(1)\nopen(os.path.join(os.environ['CUSTODY_OUT'], 'm'), 'w').write('x' * 99)\n"
    )
    words = ["--json", "--", sys.executable, "slow.py"]
    processes = [solo.begin("run", "--out", f"model{n}", *words) for n in range(2)]
    said = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in said] == [0, 0], said
    models = [json.loads(out)["model"] for (out, _), _ in said]
    assert models[0] == models[1]
    ran = solo.custody("run", "list").body["runs"]
    assert [row["state"] for row in ran] == ["finished", "finished"]
    solo.sound()


def test_two_runs_into_one_folder(solo: Any) -> None:
    """Both may not write one folder: one run gets it, the other is refused or fails on record; no mixture."""
    (solo.folder / "slow.py").write_text(
        "import os, time\nout = os.environ['CUSTODY_OUT']\nassert not os.listdir(out), 'somebody is here'\n"
        "name = os.urandom(4).hex()\nopen(os.path.join(out, name), 'w').write(name * 20)\ntime.sleep(1.5)\n"
    )
    words = ["run", "--json", "--", sys.executable, "slow.py"]
    processes = [solo.begin(*words) for _ in range(2)]
    said = [(process.communicate(timeout=60), process.returncode) for process in processes]
    good = [json.loads(out) for (out, _), code in said if code == 0]
    assert good, said
    assert sorted(code for _, code in said) == [0, 6], said
    refusal = next(json.loads(out) for (out, _), code in said if code == 6)
    assert "another run is writing" in refusal["message"]
    for body in good:
        shown = solo.custody("audit", "show", str(body["entry"])).body
        files = shown["predicate"]["runDetails"]["files"]
        assert len(files) == 1, "a model holds what its own run wrote, and nothing else"
    solo.sound()
    assert solo.custody("run", "--", sys.executable, "train.py").code == 0

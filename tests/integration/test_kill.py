"""kill -9 at random moments of a lifecycle: whatever was acknowledged is still there, and the next command works."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

POINTS = int(os.environ.get("CUSTODY_KILLS", "200"))
"""How many commands are to die in all; a larger number makes a longer trial."""

ORIGIN = ["--source", "a test", "--owner", "olga", "--licence", "own", "--trust", "trusted"]
KINDS = {
    "person": "actor-enrolment",
    "risk": "risk",
    "register": "dataset-record",
    "seal": "criteria-seal",
    "approve": "approval",
    "decide": "decision",
    "open": "incident",
    "close": "incident",
    "run": "training-finish",
    "retire": "retirement",
}
"""What each command leaves on record."""
TRIVIAL = "import os; open(os.environ['CUSTODY_OUT'] + '/m', 'w').write(os.urandom(40).hex())"


class Trial:
    """One project, killed again and again."""

    def __init__(self, place: Any, seed: int) -> None:
        self.place, self.random = place, random.Random(seed)
        self.kills = self.survived = 0
        self.acknowledged: dict[int, str] = {}
        self.seconds: dict[str, float] = {}
        self.incident = ""

    def commands(self) -> dict[str, list[str]]:
        number = str(self.random.randrange(10**9))
        accept = ["--accept", "30", "--reason", f"reviewed, number {number}"]
        found = {
            "person": ["init", "person", f"p{number}", "--role", "validator"],
            "risk": ["source", "risk", "expertise", *accept],
            "register": ["data", "register", f"d{number}", "data/small.csv", "--purpose", "live", *ORIGIN],
            "seal": ["gate", "seal"],
            "approve": ["gate", "approve"],
            "decide": ["gate", "decide", "--env", "staging"],
            "open": ["incident", "open", "tiny-train", "--type", "leak", "--reason", f"number {number}"],
            "run": ["run", "--quiet", "--out", f"out{number}", "--", sys.executable, "-c", TRIVIAL],
        }
        if self.incident:
            found["close"] = ["incident", "close", self.incident, "--reason", "over, and mended for good"]
        return found

    def strike(self, name: str, words: list[str]) -> None:
        """Start a command and kill it somewhere on its way; if it was quicker, it is acknowledged."""
        expected = self.seconds.get(name, 0.3)
        began = time.monotonic()
        split = words.index("--") if "--" in words else len(words)
        process = self.place.begin(*words[:split], "--json", *words[split:])
        time.sleep(self.random.uniform(0.02, 1.05) * expected)
        process.kill()
        out, err = process.communicate(timeout=60)
        if process.returncode == -9:
            self.kills += 1
        else:
            self.survived += 1
            self.seconds[name] = 0.5 * expected + 0.5 * (time.monotonic() - began)
            assert process.returncode in (0, 1, 3, 5), err
            self.acknowledge(name, process.returncode, json.loads(out))
        self.look()

    def acknowledge(self, name: str, code: int, body: dict[str, Any]) -> None:
        if code == 0 and isinstance(body.get("entry"), int):
            self.acknowledged[body["entry"]] = KINDS[name]
        self.incident = str(body.get("incident", self.incident))

    def look(self) -> None:
        """Status works, and everything acknowledged is within what it counts."""
        step = self.place.custody("status")
        assert step.code == 0, step.reason + step.text
        assert step.body["entries"] > max(self.acknowledged, default=-1)

    def measure(self) -> None:
        """Let each command live once, to know how long it takes."""
        for name, words in self.commands().items():
            step = self.place.custody(*words)
            assert step.code in (0, 1, 3), step.reason
            self.seconds[name] = step.seconds
            self.acknowledge(name, step.code, dict(step.body))

    def live(self, points: int) -> None:
        self.measure()
        known = self.place.entries()
        while self.kills < points - 3:
            commands = self.commands()
            weights = [0.3 if name in ("seal", "register", "run") else 1.0 for name in commands]
            name = self.random.choices(list(commands), weights)[0]
            self.strike(name, commands[name])
        self.retire(points)
        now = self.place.entries()
        assert now[: len(known)] == known, "history is as it was"
        found = {entry: now[entry]["kind"] for entry in self.acknowledged}
        assert found == self.acknowledged, "everything acknowledged is on record"
        self.place.sound()
        step = self.place.custody("run", "--", sys.executable, "-c", TRIVIAL)
        assert step.code == 0, f"the next attempt works: {step.reason}"

    def retire(self, points: int) -> None:
        """Retirement destroys a key, then says so: killed in between, it must be finished by the next attempt."""
        models = [row["model"] for row in self.place.custody("run", "list").body["runs"] if row["model"]]
        words = ["retire", models[0], "--reason", "replaced", "--yes"]
        for _ in range(40):
            if self.kills >= points:
                break
            self.strike("retire", words)
        step = self.place.custody(*words)
        assert step.code == 0, step.reason
        assert step.body["canary"]["after"] is False


def test_kill_nine(solo_of: Callable[[str, Path], Any], tmp_path: Path) -> None:
    def trial(seed: int) -> Trial:
        place = solo_of("trained", tmp_path / str(seed))
        (place.folder / "data" / "small.csv").write_text("a,b\n" + "1,2\n" * 40)
        one = Trial(place, seed)
        one.live(POINTS // 4)
        return one

    with ThreadPoolExecutor(2) as pool:
        trials = list(pool.map(trial, range(4)))
    killed = sum(one.kills for one in trials)
    print(f"{killed} killed, {sum(one.survived for one in trials)} were quicker")
    assert killed >= POINTS // 4 * 4 - 12
    assert all(one.acknowledged for one in trials)

"""The tutorial is run as it stands: its files are saved, its commands typed, its outputs compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-life.md"
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"`([\w.]+\.(?:py|toml))`")
EXIT = re.compile(r"\s+# exit (\d+)$")


def commands(block: str) -> Iterator[tuple[str, int]]:
    """Split a block into commands and the exit code each promises; a backslash goes on in the next line."""
    for line in block.replace("\\\n", " ").splitlines():
        found = EXIT.search(line)
        yield EXIT.sub("", line), int(found.group(1)) if found else 0


def missing_lines(promised: str, said: str) -> list[str]:
    """Return the promised lines that were not said, in this order; `...` stands for anything within a line."""
    lines = [" ".join(line.split()) for line in said.splitlines()]
    at, missing = 0, []
    for line in promised.splitlines():
        parts = [re.escape(part) for part in " ".join(line.split()).split("...")]
        wanted = re.compile(".*".join(parts))
        place = next((n for n in range(at, len(lines)) if wanted.search(lines[n])), None)
        if place is None:
            missing.append(line)
        else:
            at = place
    return missing


def test_every_step_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "late-loans"
    place.mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CUSTODY_STATE": str(tmp_path / "state"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
        "LANG": "C.UTF-8",
    }
    text = PAGE.read_text()
    said, before, steps = "", 0, 0
    for fence in FENCE.finditer(text):
        kind, block = fence.groups()
        if kind in ("python", "toml"):
            name = NAMED.findall(text[before : fence.start()])[-1]
            (place / name).write_text(block)
        elif kind == "sh":
            said = ""
            for command, promised in commands(block):
                done = subprocess.run(
                    ["sh", "-c", command],
                    cwd=place,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=240,
                    check=False,
                )
                assert done.returncode == promised, f"$ {command}\n{done.stdout}"
                said += done.stdout
                steps += 1
        elif kind == "text":
            promised_text = (
                block if "isolation: bubblewrap" in said else block.replace("isolation: bubblewrap", "isolation")
            )
            assert missing_lines(promised_text, said) == [], said
        before = fence.end()
    assert steps >= 20


def test_a_line_that_was_not_said_is_noticed() -> None:
    assert missing_lines("yes P1 ... asked\nGO", "  yes   P1  0.9, asked\nNO") == ["GO"]
    assert missing_lines("b\na", "a\nb") == ["a"]
    assert missing_lines("a\nb", "a\nb") == []

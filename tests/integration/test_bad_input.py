"""Bad input: a clear refusal with its exit code, no traceback, nothing lost, and the next attempt works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ORIGIN = ["--source", "a test", "--owner", "olga", "--licence", "own", "--trust", "trusted"]
MEANING = ["--target", "y", "--positive", "1"]


CRITERIA: dict[str, tuple[Callable[[bytes], bytes | None], list[str]]] = {
    "missing": (lambda _: None, ["does not exist"]),
    "empty": (lambda _: b"", []),
    "truncated": (lambda good: good[: len(good) // 2 - 3], []),
    "not UTF-8": (lambda good: good.replace(b"guessing", b"gu\xff\xfessing"), ["UTF-8"]),
    "NUL bytes": (lambda good: good[:40] + b"\0\0" + good[40:], []),
    "confidence is text": (lambda good: good.replace(b"0.95", b'"high"'), ["confidence"]),
    "bound is text": (lambda good: good.replace(b"0.60", b'"0.60"'), ["at_least"]),
    "bound is not a number": (lambda good: good.replace(b"0.60", b"nan"), []),
    "criterion is a number": (lambda good: good.replace(b"[[criterion]]", b"criterion = 3\n[x]"), []),
    "unknown measure": (lambda good: good.replace(b"balanced_accuracy", b"goodness"), ["goodness"]),
    "unknown key": (lambda good: b"colour = 3\n" + good, ["colour"]),
    "nested too deep": (lambda _: b"a = " + b"[" * 50_000, []),
    "huge": (lambda good: good + b"# " + b"x" * 20_000_000, []),
}


@pytest.mark.parametrize("case", CRITERIA)
def test_criteria(registered: Any, case: str) -> None:
    path = registered.folder / "criteria.toml"
    good = path.read_bytes()
    spoil, words = CRITERIA[case]
    bad = spoil(good)
    path.unlink() if bad is None else path.write_bytes(bad)
    before = registered.sound()
    registered.plain("gate", "seal").refused(2, "criteria.toml", *words)
    assert registered.sound() == before
    path.write_bytes(good)
    assert registered.plain("gate", "lint").code == 0


def test_criteria_that_are_a_folder(registered: Any) -> None:
    path = registered.folder / "criteria.toml"
    good = path.read_bytes()
    path.unlink()
    path.mkdir()
    registered.plain("gate", "seal").refused(2, "criteria.toml")
    path.rmdir()
    path.write_bytes(good)
    assert registered.plain("gate", "seal").code == 0


def parquet(folder: Path) -> bytes:
    import polars as pl

    path = folder / "x.parquet"
    pl.DataFrame({"a": [0.5] * 500, "y": [0, 1] * 250}).write_parquet(path)
    whole = path.read_bytes()
    path.unlink()
    return whole


TABLES: dict[str, tuple[str, Callable[[bytes, bytes], bytes | None], int, list[str]]] = {
    "missing": ("t.csv", lambda csv, pq: None, 2, ["t.csv", "does not exist"]),
    "ragged, too long": ("t.csv", lambda csv, pq: csv[:200].rsplit(b"\n", 1)[0] + b"\n1,2,3,4,5\n", 2, ["t.csv"]),
    "ragged, too short": ("t.csv", lambda csv, pq: csv[:200].rsplit(b"\n", 1)[0] + b"\n1\n2,3,1\n", 2, ["t.csv"]),
    "no label column": ("t.csv", lambda csv, pq: csv.replace(b"a,b,y", b"a,b,z"), 2, ["y"]),
    "no such positive": ("t.csv", lambda csv, pq: b"a,b,y\n" + b"1,2,0\n" * 60, 2, ["y"]),
    "empty": ("t.csv", lambda csv, pq: b"", 2, ["t.csv"]),
    "header only": ("t.csv", lambda csv, pq: b"a,b,y\n", 2, ["t.csv"]),
    "not UTF-8": ("t.csv", lambda csv, pq: csv.replace(b"0.5", b"\xff\xfe", 1), 2, ["t.csv"]),
    "two columns of one name": ("t.csv", lambda csv, pq: csv.replace(b"a,b,y", b"a,a,y"), 2, ["t.csv"]),
    "quote left open": ("t.csv", lambda csv, pq: csv + b'1,"2,1\n3,4,0\n', 2, ["t.csv"]),
    "truncated Parquet": ("t.parquet", lambda csv, pq: pq[: len(pq) - 50], 2, ["t.parquet"]),
    "Parquet torn in the middle": ("t.parquet", lambda csv, pq: pq[:90] + b"\0" * 40 + pq[130:], 2, ["t.parquet"]),
    "text called Parquet": ("t.parquet", lambda csv, pq: csv, 2, ["t.parquet"]),
    "unknown kind": ("t.xyz", lambda csv, pq: b"\x7fELF\x02" + b"\0\xff" * 300, 2, ["t.xyz"]),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(registered: Any, case: str) -> None:
    name, spoil, code, words = TABLES[case]
    csv = (registered.folder / "data" / "train.csv").read_bytes()
    path = registered.folder / "data" / name
    if (bad := spoil(csv, parquet(registered.folder))) is not None:
        path.write_bytes(bad)
    before = registered.sound()
    register = ["data", "register", "extra", f"data/{name}", *ORIGIN, *MEANING]
    registered.plain(*register).refused(code, *words)
    assert registered.sound() == before
    good = path.with_suffix(".csv")
    good.write_bytes(csv)
    register[3] = f"data/{good.name}"
    assert registered.plain(*register).code == 0


def test_a_pipe_is_no_table(registered: Any) -> None:
    import os

    os.mkfifo(registered.folder / "data" / "t.csv")
    said = registered.plain("data", "register", "extra", "data/t.csv", *ORIGIN, *MEANING, patience=30)
    said.refused(2, "t.csv")

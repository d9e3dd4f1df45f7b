"""The transcript: taken as it comes, chained, read back whole or not at all, compared as was declared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core import transcript
from custody.core.transcript import Line, Recorder, Tolerance, first_difference, read_transcript
from custody.errors import InvalidInput, Tampered

START, SEED = "ab" * 32, 7


def line(**values: Any) -> bytes:
    return json.dumps({"values": {name: str(value) for name, value in values.items()}}).encode() + b"\n"


def recorded(*pieces: bytes, **options: Any) -> tuple[Recorder, bytes]:
    kept = bytearray()
    recorder = Recorder(START, SEED, kept.extend, **options)
    for number, piece in enumerate(pieces):
        recorder.take(piece, 0.25 * number)
    return recorder, bytes(kept)


def test_what_was_taken_reads_back_the_same() -> None:
    recorder, kept = recorded(line(loss=0.5, grad_norm="1e-07"), line(loss="nan", weights="cd" * 32))
    found = read_transcript(kept, START, SEED)
    assert [(one.step, one.at) for one in found.lines] == [(1, 0), (2, 250)]
    assert [dict(one.values) for one in found.lines] == [
        {"grad_norm": "1e-07", "loss": "0.5"},
        {"loss": "nan", "weights": "cd" * 32},
    ]
    assert (found.head, found.sha256, recorder.steps) == (recorder.head, recorder.sha256, 2)
    assert found.sha256 == hashlib.sha256(kept).hexdigest()


def test_the_chain_is_the_one_that_is_documented() -> None:
    _, kept = recorded(line(loss=0.5))
    first = hashlib.sha256(f"custody-transcript/v1\n{START}\n{SEED}\n".encode()).digest()
    chain = hashlib.sha256(first + b'{"at":0,"step":1,"values":{"loss":"0.5"}}').hexdigest()
    assert kept == f'{{"at":0,"chain":"{chain}","step":1,"values":{{"loss":"0.5"}}}}\n'.encode()


@given(st.lists(st.floats(), max_size=8), st.data())
def test_pieces_may_be_cut_anywhere(losses: list[float], data: st.DataObject) -> None:
    raw = b"".join(line(loss=repr(loss)) for loss in losses)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    kept = bytearray()
    recorder = Recorder(START, SEED, kept.extend)
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        recorder.take(raw[begin:end], 0.0)
    found = read_transcript(bytes(kept), START, SEED)
    assert [one.values["loss"] for one in found.lines] == [repr(loss) for loss in losses]


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a number": lambda rows: [rows[0], rows[1].replace(b'"0.25"', b'"0.26"'), *rows[2:]],
    "a time": lambda rows: [rows[0].replace(b'"at":0', b'"at":1'), *rows[1:]],
    "a line less": lambda rows: [rows[0], *rows[2:]],
    "the first line less": lambda rows: rows[1:],
    "two lines changed about": lambda rows: [rows[1], rows[0], *rows[2:]],
    "a line twice": lambda rows: [rows[0], rows[0], *rows[1:]],
    "half a line": lambda rows: [*rows[:-1], rows[-1][:-9]],
    "no line's end": lambda rows: [*rows[:-1], rows[-1].rstrip(b"\n")],
    "a field more": lambda rows: [rows[0].replace(b'"at":0', b'"at":0,"x":1'), *rows[1:]],
    "no JSON": lambda rows: [b"\n", *rows],
    "white space": lambda rows: [rows[0].replace(b'"at":0', b'"at": 0'), *rows[1:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_altered_afterwards_is_noticed(edit: str) -> None:
    _, kept = recorded(line(loss=0.5), line(loss=0.25), line(loss=0.125))
    altered = b"".join(EDITS[edit](kept.splitlines(keepends=True)))
    assert altered != kept
    with pytest.raises(Tampered, match="of the transcript"):
        read_transcript(altered, START, SEED)


@pytest.mark.parametrize(("start", "seed"), [("cd" * 32, SEED), (START, SEED + 1)])
def test_the_transcript_of_another_run_is_none_of_this(start: str, seed: int) -> None:
    _, kept = recorded(line(loss=0.5))
    with pytest.raises(Tampered, match="line 1 of the transcript"):
        read_transcript(kept, start, seed)


def test_steps_are_counted_from_one_even_in_a_chain_of_ones_own() -> None:
    """Whoever writes a whole transcript anew has to count as everybody does."""
    first = hashlib.sha256(f"custody-transcript/v1\n{START}\n{SEED}\n".encode()).digest()
    for step, fine in ((1, True), (2, False)):
        body = f'"step":{step},"values":{{"loss":"0.5"}}}}'
        chain = hashlib.sha256(first + f'{{"at":0,{body}'.encode()).hexdigest()
        raw = f'{{"at":0,"chain":"{chain}",{body}\n'.encode()
        if fine:
            assert len(read_transcript(raw, START, SEED).lines) == 1
        else:
            with pytest.raises(Tampered, match="line 1"):
                read_transcript(raw, START, SEED)


def test_lines_left_out_at_the_end_change_head_and_digest() -> None:
    recorder, kept = recorded(line(loss=0.5), line(loss=0.25))
    short = read_transcript(kept.splitlines(keepends=True)[0], START, SEED)
    assert (short.head, short.sha256) != (recorder.head, recorder.sha256)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\n",
        b"{}\n",
        b"[]\n",
        b'{"values":[]}\n',
        b'{"values":{"loss":0.5}}\n',
        b'{"values":{"loss":"half"}}\n',
        b'{"values":{"loss":"0x10"}}\n',
        b'{"values":{"loss":"1_0"}}\n',
        b'{"values":{"lo ss":"1"}}\n',
        b'{"values":{"loss":"1","loss":"2"}}\n',
        b'{"values":{"loss":"1"},"step":9}\n',
        b'{"values":{"loss":"1"},"chain":"00"}\n',
        b"\xff\n",
        line(**{f"n{number}": number for number in range(33)}),
        line(loss="1" * 5000),
        b"x" * 5000 + b"\n",
    ],
)
def test_what_is_no_line_is_not_taken_and_is_told(raw: bytes) -> None:
    recorder, kept = recorded(line(loss=0.5), raw[:3000], raw[3000:], line(loss=0.25))
    assert [dict(one.values)["loss"] for one in read_transcript(kept, START, SEED).lines] == ["0.5", "0.25"]
    assert len(recorder.anomalies) == 1
    assert "after step 1" in recorder.anomalies[0]


def test_a_full_transcript_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MOST_LINES", 3)
    recorder, kept = recorded(*(line(loss=number) for number in range(5)))
    assert len(read_transcript(kept, START, SEED).lines) == 3
    assert recorder.anomalies == ["2 lines came after the transcript was full"]
    monkeypatch.undo()
    monkeypatch.setattr(transcript, "MOST_BYTES", 200)
    recorder, _ = recorded(*(line(loss=number) for number in range(5)))
    assert 0 < recorder.steps < 5
    assert recorder.dropped == 5 - recorder.steps


def test_enough_is_enough() -> None:
    kept = bytearray()
    recorder = Recorder(START, SEED, kept.extend, enough=2)
    assert not recorder.take(line(loss=1), 0)
    assert recorder.take(line(loss=2) + line(loss=3), 0)
    assert recorder.take(line(loss=4), 0)
    assert len(read_transcript(bytes(kept), START, SEED).lines) == 2


def anomalies(losses: list[float | str], name: str = "loss") -> list[str]:
    return recorded(*(line(**{name: loss}) for loss in losses))[0].anomalies


def test_numbers_that_are_none_and_leaps_are_flagged() -> None:
    calm = [1 / (number + 1) for number in range(50)]
    assert anomalies([*calm]) == []
    assert anomalies([*calm, "nan", "nan"]) == ["loss is nan at step 51"]
    assert anomalies([*calm, "-inf"], "grad_norm") == ["grad_norm is -inf at step 51"]
    (leap,) = anomalies([*calm, 3.0])
    assert leap.startswith("loss leaps from about 0.02")
    assert leap.endswith("to 3 at step 51")
    assert anomalies([*calm, 0.2]) == []
    assert anomalies([*calm, 3.0], "rate") == []
    assert anomalies([5.0, *calm]) == []


def lines(*rows: dict[str, str]) -> list[Line]:
    return [Line(number, 0, row) for number, row in enumerate(rows, start=1)]


EXACT, LOOSE = Tolerance(), Tolerance.parse("relative 1e-6")
THEN = lines({"loss": "1.0"}, {"loss": "0.5", "w": "aa" * 32})


@pytest.mark.parametrize(
    ("now", "steps", "tolerance", "agreed", "cause"),
    [
        (THEN, 2, EXACT, 2, ""),
        (THEN[:1], 1, EXACT, 1, ""),
        (THEN[:1], 2, EXACT, 1, "step 2 did not come this time"),
        (THEN, 3, EXACT, 2, "step 3 is not in the record"),
        (lines({"loss": "1.0000001"}), 1, EXACT, 0, "step 1: loss 1.0 then, 1.0000001 now"),
        (lines({"loss": "1.0000001"}), 1, LOOSE, 1, ""),
        (lines({"loss": "1.00001"}), 1, LOOSE, 0, "step 1: loss 1.0 then, 1.00001 now"),
        (lines({"loss": "-1.0"}), 1, LOOSE, 0, "step 1: loss 1.0 then, -1.0 now"),
        (lines({"loss": "inf"}), 1, LOOSE, 0, "step 1: loss 1.0 then, inf now"),
        (lines({"loss": "nan"}), 1, LOOSE, 0, "step 1: loss 1.0 then, nan now"),
        (lines({"loss": "1"}), 1, EXACT, 0, "step 1: loss 1.0 then, 1 now"),
        (lines({"loss": "aa" * 32}), 1, LOOSE, 0, f"step 1: loss 1.0 then, {'aa' * 12} now"),
        (lines({"gain": "1.0"}), 1, LOOSE, 0, "step 1: gain stands only this time"),
        (lines({}), 1, LOOSE, 0, "step 1: loss stands only on record"),
        (lines({"loss": "1.0"}, {"loss": "0.5", "w": "bb" * 32}), 2, LOOSE, 2, ""),
        (
            lines({"loss": "1.0"}, {"loss": "0.5", "w": "bb" * 32}),
            2,
            EXACT,
            1,
            f"step 2: w {'aa' * 12} then, {'bb' * 12} now",
        ),
    ],
)
def test_the_first_difference_is_named(
    now: list[Line], steps: int, tolerance: Tolerance, agreed: int, cause: str
) -> None:
    assert first_difference(THEN, now, steps, tolerance) == (agreed, cause)


def test_nan_agrees_with_nan() -> None:
    assert Tolerance().same("nan", "nan")
    assert LOOSE.same("-inf", "-inf")


@pytest.mark.parametrize("text", ["", "loose", "relative", "relative 0", "relative 0.01", "relative nan", "absolute 1"])
def test_a_tolerance_that_would_forgive_anything_cannot_be_declared(text: str) -> None:
    with pytest.raises(InvalidInput, match="tolerance"):
        Tolerance.parse(text)


def test_a_tolerance_reads_as_it_is_written() -> None:
    assert str(Tolerance.parse("exact")) == "exact"
    assert str(Tolerance.parse("relative 0.000001")) == "relative 1e-06"
    assert Tolerance.parse("relative 1e-3").relative == 1e-3

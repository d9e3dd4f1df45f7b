from __future__ import annotations

import itertools

import pytest

from custody.core.decision import Decision, Ruling, Status, Verdict


def decision(*statuses: Status) -> Decision:
    rulings = tuple(Ruling(f"c{number}", status, "because") for number, status in enumerate(statuses))
    return Decision("ab" * 32, "loans", "cd" * 32, 9, "ef" * 32, "2026-01-01T00:00:00+00:00", "separated", rulings)


def test_nothing_ruled_is_not_go() -> None:
    assert decision().verdict is Verdict.INCONCLUSIVE


def test_only_met_and_waived_together_are_go() -> None:
    for count in (1, 2, 3):
        for statuses in itertools.product(Status, repeat=count):
            expected = Verdict.INCONCLUSIVE
            if Status.NOT_MET in statuses:
                expected = Verdict.NO_GO
            elif all(status in (Status.MET, Status.WAIVED) for status in statuses):
                expected = Verdict.GO
            assert decision(*statuses).verdict is expected


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.GO, 0), (Verdict.NO_GO, 1), (Verdict.INCONCLUSIVE, 3)])
def test_each_verdict_has_its_exit_code(verdict: Verdict, code: int) -> None:
    assert verdict.exit_code == code


def test_the_worst_comes_first() -> None:
    found = decision(Status.INCONCLUSIVE, Status.MET, Status.UNKNOWN, Status.WAIVED, Status.NOT_MET).failing()
    assert [ruling.status for ruling in found] == [Status.NOT_MET, Status.UNKNOWN, Status.INCONCLUSIVE]


def test_the_outcome_covers_everything_that_was_decided() -> None:
    from dataclasses import replace

    base = decision(Status.MET)
    others = [
        replace(base, model="00" * 32),
        replace(base, seal="00" * 32),
        replace(base, size=8),
        replace(base, root="00" * 32),
        replace(base, at="2026-01-02T00:00:00+00:00"),
        replace(base, assurance="solo"),
        replace(base, expires="2027-01-01T00:00:00+00:00"),
        replace(base, rulings=(Ruling("c0", Status.WAIVED, "because"),)),
        replace(base, rulings=(Ruling("c1", Status.MET, "because"),)),
        replace(base, rulings=(Ruling("c0", Status.MET, "because", (3,)),)),
    ]
    assert len({base.outcome, *(other.outcome for other in others)}) == len(others) + 1
    reworded = replace(base, rulings=(Ruling("c0", Status.MET, "said otherwise"),))
    assert reworded.outcome == base.outcome
    assert base.to_predicate()["outcome"] == base.outcome

from __future__ import annotations

import pytest

from custody import errors
from custody.errors import CustodyError

CODES = {
    "InvalidInput": (2, 400),
    "NotFound": (3, 404),
    "OutOfOrder": (3, 409),
    "Unknown": (3, 422),
    "Tampered": (4, 422),
    "NotPermitted": (5, 403),
    "Unavailable": (6, 503),
}
CLASSES = [
    c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CustodyError) and c is not CustodyError
]


def test_every_error_has_its_documented_codes() -> None:
    assert {c.__name__: (c.exit_code, c.http_status) for c in CLASSES} == CODES


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_says_what_happened_and_what_to_do(error: type[CustodyError]) -> None:
    raised = error("the disk is full", hint="free some space")
    assert raised.message == "the disk is full"
    assert str(raised) == "the disk is full (next: free some space)"
    assert str(error("x")) == "x"
    assert raised.hint == "free some space"
    assert error("x").hint == ""
    assert error.__name__ in (errors.__doc__ or "")


def test_success_and_refusal_by_a_gate_are_no_errors() -> None:
    assert {0, 1}.isdisjoint(c.exit_code for c in CLASSES)

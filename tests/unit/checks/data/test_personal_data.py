"""Personal data: planted values are found and never shown; random numbers are not taken for them."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from custody.checks.data import _identifiers as identifiers
from custody.checks.data import personal_data as module
from custody.checks.data.personal_data import personal_data
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Result

# Numbers published as examples by the bodies that issue them, or made up for tests; none is anybody's.
PLANTS = {
    "e-mail address": ["jo.doe@example.org", "write to A_B+c@mail.example.co.uk, please"],
    "telephone number": ["+49 30 901820", "(030) 9018-2010", "call 555-010-4477 now", "+442079460958"],
    "IP address": ["from 192.168.17.4", "2001:db8:85a3::8a2e:370:7334"],
    "bank account (IBAN)": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "payment card": ["4111 1111 1111 1111", "card 5500005555555559", "3782-822463-10005"],
    "US social security number": ["078-05-1120"],
    "Spanish national number": ["12345678Z", "X1234567L"],
    "French national number": ["2 69 05 49 588 157 80"],
    "Italian tax code": ["RSSMRA85T10A562S"],
    "Brazilian tax number": ["529.982.247-25"],
    "Polish national number": ["44051401359"],
    "Swedish personal number": ["811218-9876"],
    "British insurance number": ["QQ123456C".replace("QQ", "AB"), "AB 12 34 56 C"],
    "secret": ["AKIA" + "ABCDEFGHIJKLMNOP", "-----BEGIN RSA PRIVATE KEY-----"],
}


def notes(rows: int = 1000, seed: int = 0) -> list[str]:
    """Ordinary remarks with times, dates, amounts, versions and order numbers."""
    rng = np.random.default_rng(seed)
    return [
        f"order {order} on 2024-{month:02d}-03 at 12:{month:02d}:59, {order / 1e4:.2f} EUR, v1.{month}.2"
        for order, month in zip(rng.integers(10**7, 10**8, rows), rng.integers(1, 13, rows), strict=True)
    ]


def measured(frame: pl.DataFrame) -> Result:
    return personal_data(Target(train=Table("train", frame, Columns())))


def kinds(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return [(each["column"], each["kind"]) for each in measured(frame).details["columns"]]


def random_numbers(seed: int) -> pl.DataFrame:
    """Columns that only look like identifiers by chance."""
    rng = np.random.default_rng(seed)
    rows = 2000
    sixteen = rng.integers(10**15, 10**16, rows)
    return pl.DataFrame(
        {
            "amount": rng.lognormal(3, 1, rows),
            "code_16": sixteen,
            "code_16_text": sixteen.astype(str),
            "code_grouped": [
                f"{n // 10**12}-{n // 10**8 % 10**4:04d}-{n // 10**4 % 10**4:04d}-{n % 10**4:04d}" for n in sixteen
            ],
            "code_11": rng.integers(10**10, 10**11, rows).astype(str),
            "code_9": rng.integers(10**8, 10**9, rows),
            "code_letter": [f"{n}{'ABCDEFGH'[n % 8]}" for n in rng.integers(10**7, 10**8, rows)],
            "as_float": rng.integers(10**15, 10**16 // 2, rows).astype(float),
            "hash": [f"{n:032x}" for n in rng.integers(2**62, 2**63, rows)],
            "time": [f"12:{n % 60:02d}:{n % 59:02d}" for n in rng.integers(0, 10**4, rows)],
            "version": [f"v{n % 7}.{n % 11}.{n % 13}" for n in rng.integers(0, 10**4, rows)],
            "day": [(date(2024, 1, 1) + timedelta(days=int(n))).isoformat() for n in rng.integers(0, 700, rows)],
            "note": notes(rows, seed),
            "town": rng.choice(["New York", "San Jose", "Porto", "Lille"], rows),
        }
    )


def test_clean_random_tables_are_silent_over_20_seeds() -> None:
    alarms = sum(bool(kinds(random_numbers(seed))) for seed in range(20))
    assert alarms == 0


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in PLANTS.items() for value in values])
def test_a_single_planted_value_is_found_and_never_shown(kind: str, value: str) -> None:
    frame = pl.DataFrame({"note": notes(), "amount": np.arange(1000.0)})
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 500).then(pl.lit(value)).otherwise(pl.col("note")).alias("note")
    )
    result = measured(frame)
    assert [(each["kind"], each["cells"]) for each in result.details["columns"]] == [(kind, 1)]
    shown = json.dumps([finding.to_json() for finding in result.findings], ensure_ascii=False) + str(result.details)
    assert value not in shown
    assert not any(
        part in shown
        for part in value.replace("-", " ").replace(",", " ").split()
        if len(part) > 5 and part not in kind
    )
    by = {measure.name: measure.value for measure in result.measures}
    assert by == {"columns_with_personal_data": 1, "values_found": 1}


def test_a_column_of_card_numbers_is_found_also_as_integers() -> None:
    rng = np.random.default_rng(1)
    cards = []
    for number in rng.integers(10**14, 10**15, 50):
        body = "4" + str(number)[1:]
        cards.append(next(int(body + str(last)) for last in range(10) if identifiers.luhn(body + str(last))))
    assert kinds(pl.DataFrame({"pan": cards})) == [("pan", "payment card")]
    assert kinds(pl.DataFrame({"pan": [float(each) for each in cards] + [None]})) == [("pan", "payment card")]
    mixed = [str(each) for each in [*cards[:20], *rng.integers(10**15, 10**16, 400)]]
    assert kinds(pl.DataFrame({"pan": mixed})) == [("pan", "payment card")]


def test_names_are_found_by_heading_and_by_values() -> None:
    first = ["Anna", "Ben", "Carlos", "Diana", "Elena", "Felix", "Grace", "Hans", "Ivan", "Julia", "Karl", "Laura"]
    rng = np.random.default_rng(1)
    people = [
        f"{name} {last}"
        for name, last in zip(rng.choice(first, 300), rng.choice(["Meier", "Rossi", "Ito"], 300), strict=True)
    ]
    odd = [f"Xq{letter} Zz" for letter in "abcdefghijkl"] * 25
    assert kinds(pl.DataFrame({"x": people})) == [("x", "names of people")]
    assert kinds(pl.DataFrame({"last_name": odd})) == [("last_name", "names of people")]
    assert kinds(pl.DataFrame({"x": odd})) == []


def test_dates_of_birth_are_found_by_heading_and_values() -> None:
    days = [date(1950, 1, 1) + timedelta(days=90 * day) for day in range(200)]
    assert kinds(pl.DataFrame({"date_of_birth": days})) == [("date_of_birth", "dates of birth")]
    assert kinds(pl.DataFrame({"DOB": [day.isoformat() for day in days]})) == [("DOB", "dates of birth")]
    assert kinds(pl.DataFrame({"birth_weight": np.arange(200.0)})) == []
    assert kinds(pl.DataFrame({"opened": days})) == []


def test_numbers_under_a_telephone_heading_are_telephone_numbers() -> None:
    numbers = np.random.default_rng(1).integers(10**9, 10**10, 100)
    assert kinds(pl.DataFrame({"phone_number": numbers})) == [("phone_number", "telephone number")]
    assert kinds(pl.DataFrame({"parcel": numbers})) == []


def test_what_was_not_examined_makes_the_count_a_lower_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VALUES", 100)
    result = measured(pl.DataFrame({"call": [f"+49 30 901{number:04d}" for number in range(1000)]}))
    values = {measure.name: measure for measure in result.measures}["values_found"]
    assert values.value == values.low == 100
    assert values.high == 1000
    assert result.details["smallest_share_of_values_examined"] == pytest.approx(0.1)


def test_check_digits_refuse_every_single_changed_digit() -> None:
    for valid, value in (
        (identifiers.iban, "DE89370400440532013000"),
        (identifiers.card, "4111111111111111"),
        (identifiers.french, "269054958815780"),
        (identifiers.polish, "44051401359"),
        (identifiers.brazilian, "52998224725"),
    ):
        assert valid(value)
        for place in range(4, len(value)):
            changed = value[:place] + str((int(value[place]) + 1) % 10) + value[place + 1 :]
            assert not valid(changed), changed


def test_no_rows_are_unknown() -> None:
    with pytest.raises(Unmeasurable):
        measured(pl.DataFrame({"a": []}))

"""What identifies a person, a card or an account: patterns, and check digits where there are any.

Sources: ISO 13616 (IBAN), ISO/IEC 7812 (cards, Luhn), ITU-T E.164 (telephone numbers), RFC 5322 in the
form people use (e-mail), and the published check-digit rules of the national numbers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Identifier:
    """One kind of personal data and how to recognise it."""

    kind: str
    severity: str
    pattern: str
    """A regular expression without look-around, so that every engine can run it."""
    valid: Callable[[str], bool | None]
    """Says whether the check digits are right; None for what could not be one, whatever its check digits."""
    chance: float
    """How often random check digits are right; 0 for patterns that hardly occur by chance."""


def luhn(digits: str) -> bool:
    """Say whether the last digit is the Luhn check digit of the others."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


_CARD = re.compile(
    r"(4\d{12}(\d{3}){0,2}|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(0[0-5]|[689]\d)\d{11}|35\d{14}|6(011|5\d\d|4[4-9]\d)\d{12})\Z"
)


def card(text: str) -> bool | None:
    """Say whether it is a payment card number: a known issuer's prefix and length, and Luhn."""
    digits = _digits(text)
    return luhn(digits) if _CARD.match(digits) and len(set(digits)) > 1 else None


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18,
    "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23,
    "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15,
    "PL": 28, "PT": 25, "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip


def iban(text: str) -> bool | None:
    """Say whether it is an IBAN of its country's length with remainder 1 modulo 97."""
    plain = re.sub(r"\s", "", text).upper()
    wanted = _IBAN_LENGTHS.get(plain[:2])
    if wanted is None or len(plain) < wanted:
        return None
    plain = plain[:wanted]
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def phone(text: str) -> bool:
    """Say whether it has the 7 to 15 digits of a telephone number and is no date or decimal number."""
    if re.search(r"(19|20)\d\d[-./ ](0?[1-9]|1[0-2])[-./ ]\d", text):
        return False
    return 7 <= len(_digits(text)) <= 15 and len(set(_digits(text))) > 2


def address(text: str) -> bool:
    """Say whether it is an IP address that belongs to somebody (not 0.0.0.0, not a net mask)."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_multicast or found.is_reserved or found.is_loopback)


def spanish(text: str) -> bool:
    """Check a Spanish DNI or NIE: its letter is the number modulo 23."""
    plain = text.replace("-", "").replace(" ", "").upper()
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == plain[-1]


def french(text: str) -> bool:
    """Check a French NIR: its key is 97 minus the number modulo 97."""
    digits = _digits(text)
    return len(digits) == 15 and 97 - int(digits[:13]) % 97 == int(digits[13:])


_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
    22, 25, 24, 23,
), strict=True))  # fmt: skip


def italian(text: str) -> bool:
    """Check an Italian codice fiscale by its last letter."""
    plain = text.upper()
    odd = sum(_ODD[sign] for sign in plain[:15:2])
    even = sum(int(sign) if sign.isdigit() else ord(sign) - 65 for sign in plain[1:15:2])
    return chr((odd + even) % 26 + 65) == plain[15]


def polish(text: str) -> bool | None:
    """Check a Polish PESEL: date of birth and check digit."""
    weighed = sum(int(digit) * weight for digit, weight in zip(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True))
    return weighed % 10 == 0 if 1 <= int(text[2:4]) % 20 <= 12 and 1 <= int(text[4:6]) <= 31 else None


def brazilian(text: str) -> bool:
    """Check a Brazilian CPF by its two check digits."""
    digits = [int(digit) for digit in _digits(text)]
    for last in (9, 10):
        rest = sum(digit * (last + 1 - place) for place, digit in enumerate(digits[:last])) * 10 % 11 % 10
        if rest != digits[last]:
            return False
    return len(set(digits)) > 1


def swedish(text: str) -> bool | None:
    """Check a Swedish personal number: date of birth and Luhn."""
    digits = _digits(text)[-10:]
    return luhn(digits) if 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31 else None


def american(text: str) -> bool:
    """Check a US social security number: areas 000, 666 and 900 to 999 were never given out."""
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def always(text: str) -> bool:
    """Accept what already fits its pattern."""
    return bool(text)


KINDS = (
    Identifier(
        "secret",
        "critical",
        r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|gh[pousr]_[A-Za-z0-9]{36}|xox[abprs]-[0-9A-Za-z-]{10,}"
        r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
        always,
        0.0,
    ),
    Identifier(
        "e-mail address", "warning", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", always, 0.0
    ),
    Identifier(
        "bank account (IBAN)", "critical", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", iban, 0.01
    ),
    Identifier("payment card", "critical", r"\b\d(?:[ -]?\d){12,18}\b", card, 0.1),
    Identifier(
        "French national number",
        "critical",
        r"\b[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d\b",
        french,
        0.01,
    ),
    Identifier("Italian tax code", "critical", r"\b[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]\b", italian, 0.04),
    Identifier("Spanish national number", "critical", r"\b(?:\d{8}|[XYZ]-?\d{7})[ -]?[A-HJ-NP-TV-Z]\b", spanish, 0.05),
    Identifier("Brazilian tax number", "critical", r"\b\d{3}\.\d{3}\.\d{3}-\d\d\b", brazilian, 0.01),
    Identifier("Polish national number", "critical", r"\b\d{11}\b", polish, 0.1),
    Identifier("Swedish personal number", "critical", r"\b(?:19|20)?\d{6}[-+]\d{4}\b", swedish, 0.1),
    Identifier(
        "British insurance number",
        "critical",
        r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]\b",
        always,
        0.0,
    ),
    Identifier("US social security number", "critical", r"\b\d{3}-\d\d-\d{4}\b", american, 0.0),
    Identifier(
        "IP address",
        "warning",
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}",
        address,
        0.0,
    ),
    Identifier(
        "telephone number",
        "warning",
        r"\+\d{1,3}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?\d(?:[ ./-]?\d){5,12}|\(\d{2,5}\) ?\d{2,4}[ -]?\d{3,5}"
        r"|(?:^|[^\w./-])0\d{1,4}[ /-]\d{3,8}(?:[ -]\d{2,5})*\b|(?:^|[^\w./-])\d{3}[-.]\d{3}[-.]\d{4}\b",
        phone,
        0.0,
    ),
)

_COMMON = """
    aisha alexander ali alice amina amir amy ana andrea andrew angela anna anne anthony antonio barbara ben carlos
    carmen carol catherine charles charlotte chen chiara chris christine claire claudia daniel david deborah diana
    diego dmitri dorothy edward elena elif elizabeth emily emma eric eva fatima felix fernando francesca francesco
    francois frank gabriel george giulia giuseppe grace hanna hannah hans helen henry ibrahim ines ingrid isabel ivan
    jack jacques james jan jane javier jean jennifer jessica joao johan john jonas jorge jose joseph juan julia julie
    karen karl katarzyna kate kevin kim klaus laura lea lena leon li liam linda lisa louis louise lucas lucia luis
    luisa maria marie mario mark markus marta martin mary matthew max mehmet mei michael miguel mohamed mohammed monika
    mustafa nancy natalia nicole nina noah nora olga oliver olivia omar pablo paolo patricia patrick paul pedro peter
    philip pierre piotr priya rachel rahul richard robert rosa ruth sara sarah scott sofia sophie stefan stephen steven
    susan sven teresa thomas tim tom ursula victor wang wei william wolfgang yusuf zhang
"""
FIRST_NAMES = frozenset(_COMMON.split())

"""Disclosure: what a check found and the ledger conceals is opened to who may read it, and proven to anybody."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence, Record
from custody.core.strictjson import dump, parse_object
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, Tampered
from custody.records.vault import Concealed, ModelVault

FORMAT = "custody-opening/1"
_SALT_BYTES = 32


@dataclass(frozen=True)
class Opening:
    """What lies behind a commitment: the salt, and the content it commits to."""

    entry: Evidence
    salt: bytes
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the form that is handed out; `check` needs nothing else beside the ledger."""
        return {
            "format": FORMAT,
            "entry": self.entry.index,
            "statement": self.entry.digest,
            "salt": self.salt.hex(),
            "content": dict(self.content),
        }


def disclose(desk: Desk, vault: ModelVault, actor: str, number: int) -> Opening:
    """Open what entry `number` conceals.

    About a dataset that takes the right to read data, about a model the right to read its results on the
    held-out set. Raises `NotFound` where nothing is concealed, and `NotPermitted`, also once the key of the
    subject was destroyed: then the entry still counts, and nobody learns any more what it saw.
    """
    record = desk.read()
    entry = _entry(record, number)
    hidden = _concealed(entry)
    about_data = any(found.kind == kinds.DATASET for found in record.about(entry.subject.sha256))
    desk.permit(actor, Action.READ_DATA if about_data else Action.READ_HELD_OUT_METRICS)
    salt, content = vault.disclose(entry.subject.sha256, hidden)
    return Opening(entry, salt, parse_object(content, what="the concealed content"))


def check(record: Record, raw: bytes) -> Opening:
    """Hold an opening that somebody handed over against the ledger; raises `Tampered` when it is not genuine."""
    body = parse_object(raw, what="the opening")
    if set(body) != {"format", "entry", "statement", "salt", "content"} or body["format"] != FORMAT:
        raise InvalidInput("this is not an opening", hint="custody audit disclose ENTRY -o FILE writes one")
    try:
        salt = bytes.fromhex(body["salt"])
        entry = _entry(record, int(body["entry"]))
    except (TypeError, ValueError):
        raise InvalidInput("this is not an opening: its entry or its salt cannot be read") from None
    if len(salt) != _SALT_BYTES or not isinstance(body["content"], dict):
        raise InvalidInput("this is not an opening: its salt or its content cannot be read")
    hidden = _concealed(entry)
    genuine = hmac.compare_digest(hmac.digest(salt, dump(body["content"]), "sha256").hex(), hidden.commitment)
    if entry.digest != body["statement"] or not genuine:
        raise Tampered(f"this is not what entry {entry.index} committed to")
    return Opening(entry, salt, body["content"])


def _entry(record: Record, number: int) -> Evidence:
    if not 0 <= number < record.size:
        raise NotFound(f"there is no entry {number}; the newest is {record.size - 1}", hint="custody audit log")
    return record.entries[number]


def _concealed(entry: Evidence) -> Concealed:
    said = entry.predicate.get("concealed")
    if not isinstance(said, Mapping):
        raise NotFound(f"entry {entry.index} conceals nothing", hint=f"custody audit show {entry.index}")
    commitment, ciphertext = said.get("commitment"), said.get("ciphertext")
    if not isinstance(commitment, str) or not isinstance(ciphertext, str) or {len(commitment), len(ciphertext)} != {64}:
        raise Tampered(f"entry {entry.index} does not say what it conceals")
    return Concealed(commitment, ciphertext)

"""An unsigned claim: in-toto Statement v1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core import strictjson
from custody.core.subject import Subject
from custody.errors import InvalidInput

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_STATEMENT_BYTES = 16 * 1024 * 1024
MAX_PARTS = 1_000_000
"""How many brackets and commas a statement may hold, text included: each may cost a reader an object in memory."""


@dataclass(frozen=True)
class Statement:
    """Someone says `predicate` of `subject`; `kind` tells readers how to parse it.

    An unsigned statement is worth nothing: gates read `Evidence`, which is what a
    statement becomes once it is signed, logged and read back.
    """

    subject: Subject
    kind: str
    predicate: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return the exact bytes that get signed. Made once; readers keep them as they came."""
        return strictjson.dump(
            {
                "_type": STATEMENT_TYPE,
                "subject": [self.subject.to_json()],
                "predicateType": self.kind,
                "predicate": self.predicate,
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Statement:
        """Read a statement strictly; exactly one subject, with a sha256."""
        parts = raw.count(b"{") + raw.count(b"[") + raw.count(b",")
        if parts > MAX_PARTS:
            raise InvalidInput(f"statement has {parts} brackets and commas; the limit is {MAX_PARTS}")
        body = strictjson.parse_object(raw, max_bytes=MAX_STATEMENT_BYTES, what="statement")
        if strictjson.dump(body) != raw:
            raise InvalidInput("statement is not in the one form in which statements are signed")
        if set(body) != {"_type", "subject", "predicateType", "predicate"}:
            raise InvalidInput(f"statement has the fields {sorted(body)}")
        if body["_type"] != STATEMENT_TYPE:
            raise InvalidInput(f"statement is of type {body['_type']!r}")
        subjects, kind, predicate = body["subject"], body["predicateType"], body["predicate"]
        if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
            raise InvalidInput("statement must have exactly one subject")
        digest = subjects[0].get("digest")
        name = subjects[0].get("name")
        if set(subjects[0]) != {"name", "digest"} or not isinstance(name, str):
            raise InvalidInput("subject must have a name and a digest")
        if not isinstance(digest, dict) or set(digest) != {"sha256"} or not isinstance(digest["sha256"], str):
            raise InvalidInput("subject digest must be one sha256")
        if not isinstance(kind, str) or not isinstance(predicate, dict):
            raise InvalidInput("statement has no predicate")
        return cls(Subject(name, digest["sha256"]), kind, predicate)

"""The kinds of statement, the fields each must have, and the roles that may say it: `vocabulary.json`."""

import os
from typing import Any

from custody_verify.strict import read_file, read_json, require, whole

_PATH, _LIMIT = os.path.join(os.path.dirname(__file__), "vocabulary.json"), 64 * 1024  # noqa: PTH118, PTH120
_TABLE: dict[str, Any] = read_json(read_file(_PATH, _LIMIT), "the vocabulary", _LIMIT, one_form=False)["kinds"]
_TYPES: dict[str, Any] = {"text": str, "list": list, "object": dict, "flag": bool}
_TYPES |= {"text or null": str | None, "number or null": int | None}
ROLES = frozenset({"auditor"}.union(*[row["roles"] for row in _TABLE.values()]))
KINDS = {row["uri"]: kind for kind, row in _TABLE.items()}
"""The name of each kind, by which this program knows it, by the predicate type that statements carry."""
def check_fields(kind: str, said: dict[str, Any]) -> None:
    """Raise `Refused` unless the statement has every field of its kind, rightly typed."""
    for of, names in _TABLE[kind]["fields"].items():
        for name in names:
            value = said.get(name)
            fits = whole(value) is not None if of == "number" else isinstance(value, _TYPES[of])
            require(name in said and fits, f"{kind} lacks {name!r}, or it has the wrong type")
def may_say(roles: frozenset[str], kind: str) -> bool:
    """Tell whether one of the roles may make statements of this kind."""
    return not roles.isdisjoint(_TABLE[kind]["roles"])

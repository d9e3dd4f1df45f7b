"""Write the pages of docs/reference that follow from the code: `python docs/generate.py`.

A test compares the pages on disk with what this writes, so a page cannot fall behind in silence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from custody import errors
from custody.checks.registry import Check, Scale, registry
from custody.core.access import GRANTS, WRITES, Action
from custody.core.actor import Role
from custody.core.permission import Rules
from custody.core.predicates import short
from custody.gates import access_schema, access_text

sys.path.insert(0, str(Path(__file__).parent))
import predicates

ABBREVIATED = ("own", "sec", "eng", "sci", "ml", "val", "app", "com", "aud", "op")
"""The roles as the table of rights heads its columns, in order."""
REFERENCE = Path(__file__).parent / "reference"

_HEAD = """# Checks

A check measures and never judges: it returns numbers with intervals and findings, and knows no threshold.
A criterion in `criteria.toml` names one of the measures below and brings the bound; see
[formats](formats.md). What a check cannot measure comes out as *unknown* with a reason; unknown never passes.

*This page is written by `python docs/generate.py` from the registry of checks.*
"""


def checks_page() -> str:
    """Return docs/reference/checks.md: one section for each check, in order of id."""
    found = registry()
    families = sorted({name.split(".")[0] for name in found})
    lines = [_HEAD, f"{len(found)} checks in {len(families)} families.\n"]
    for family in families:
        lines.append(f"\n## {family}\n")
        lines += [_section(check) for name, check in found.items() if name.split(".")[0] == family]
    return "\n".join(lines).rstrip() + "\n"


def _section(check: Check) -> str:
    rows = [
        f"### `{check.id}`\n",
        f"{check.question}\n",
        f"Stage: {check.stage.value}\n",
        "| asks | what it is | range | better | unit | at |",
        "|---|---|---|---|---|---|",
    ]
    rows += [_row(f"{check.id}.{name}", scale) for name, scale in check.measures.items()]
    return "\n".join(rows) + "\n"


def _row(name: str, scale: Scale) -> str:
    at = ", ".join(f"`{key}`" for key in scale.at) or "-"
    about = " ".join(scale.about.split()).replace("|", "\\|")
    between = f"{scale.lowest:g} to {scale.highest:g}"
    return f"| `{name}` | {about} | {between} | {scale.better} | {scale.unit or '-'} | {at} |"


def error_lines() -> list[str]:
    """Return one table row for each error class: its name, exit code, HTTP status and meaning."""
    rows = []
    for kind in vars(errors).values():
        if not (isinstance(kind, type) and issubclass(kind, errors.CustodyError)):
            continue
        if kind is not errors.CustodyError:
            means = (kind.__doc__ or "").strip().splitlines()[0]
            rows.append(f"| `{kind.__name__}` | {kind.exit_code} | {kind.http_status} | {means} |")
    return rows


def rights_table() -> str:
    """Return the table of actions and the roles that may, from the access rules' ceiling and schema."""
    rules = Rules(access_text(), access_schema())
    roles = [role for role in Role if role is not Role.CUSTODIAN]
    lines = ["## What each role may do\n", "| action | done to | leaves | " + " | ".join(ABBREVIATED) + " |"]
    lines.append("|---|---|---|" + "---|" * len(roles))
    for action in Action:
        left = ", ".join(sorted(short(kind) for kind in WRITES[action])) or "-"
        marks = ["x" if role in GRANTS[action] else "" for role in roles]
        lines.append(f"| `{action}` | {rules.type_of(action)} | {left} | " + " | ".join(marks) + " |")
    names = ", ".join(f"{short_} {role}" for short_, role in zip(ABBREVIATED, roles, strict=True))
    lines += ["", f"{names}. The custodian, Custody's own name, records denials, anchors and decisions.", ""]
    return "\n".join(lines)


def schema_files() -> dict[str, str]:
    """Return the text of each file in docs/reference/predicates, by name."""
    return {f"{name}.json": json.dumps(body, indent=2) + "\n" for name, body in predicates.schemas().items()}


if __name__ == "__main__":
    folder = REFERENCE / "predicates"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, body in schema_files().items():
        (folder / name).write_text(body)
    (REFERENCE / "predicates.md").write_text(predicates.page())
    (REFERENCE / "checks.md").write_text(checks_page())
    page = REFERENCE / "access.md"
    before, _, rest = page.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    page.write_text(f"{before}<!-- table -->\n{rights_table()}<!-- end of table -->{after}")
    page = REFERENCE / "exit-codes.md"
    before, _, rest = page.read_text().partition("<!-- errors -->\n")
    _, _, after = rest.partition("<!-- end of errors -->")
    table = ["| error | exit | HTTP | means |", "|---|---|---|---|", *error_lines(), ""]
    page.write_text("\n".join([f"{before}<!-- errors -->", *table]) + f"<!-- end of errors -->{after}")

"""Check a Custody bundle without Custody: `python -m custody_verify bundle BUNDLE --trust TRUST.json`.

Exit codes: 0 all is confirmed and the verdict is GO; 1 NO-GO, or with --require-today a GO that no longer holds;
2 bad usage or unreadable; 3 unknown: no trust root, too few witnesses, no decision, or inconclusive; 4 refused:
it is not what it claims.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from custody_verify.audit import Model, audit, freshness
from custody_verify.ledger import MAX_LINE, MAX_TRUST, check_seen, read_bundle, read_lines, read_trust
from custody_verify.strict import Refused, Unreadable, read_time

EXITS = {"GO": 0, "NO-GO": 1, "UNREADABLE": 2, "UNKNOWN": 3, "INCONCLUSIVE": 3, "REFUSED": 4}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        report = _verify(asked)
    except (Refused, Unreadable) as error:
        report = {"answer": type(error).__name__.upper(), "reasons": [str(error)]}
    fallen = asked.require_today and report["answer"] == "GO" and report["today"]
    report["exit"] = EXITS["NO-GO" if fallen else report["answer"]]
    if asked.json:
        print(json.dumps(report, indent=2, sort_keys=True))
    else:
        for line in _lines(report):
            text = "".join(c if c.isprintable() else "?" for c in line)
            print(text.encode("ascii", "backslashreplace").decode())
    return int(report["exit"])


def _parser() -> argparse.ArgumentParser:
    usage = "custody-verify [bundle] BUNDLE --trust TRUST.json [options]"
    parser = argparse.ArgumentParser(usage=usage, description="Check a Custody bundle without Custody.")
    parser.add_argument("words", nargs="+", metavar="[bundle] BUNDLE", help="the file to check")
    parser.add_argument("--trust", help="the trust root, obtained by another way than the bundle")
    parser.add_argument("--model", default="", help="first digits of a model's sha256 (default: the newest decided)")
    parser.add_argument("--seen", default="", metavar="SIZE:ROOT", help="a checkpoint you saw before")
    parser.add_argument("--at", default="", help="the moment to judge today's standing by (default: now)")
    parser.add_argument("--require-today", action="store_true", help="exit with 1 for a GO that no longer holds")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    return parser


def _verify(asked: argparse.Namespace) -> dict[str, Any]:
    now = read_time(asked.at) if asked.at else datetime.now(UTC).replace(microsecond=0)
    if now is None:
        raise Unreadable("--at must be a moment with a time zone, such as 2026-07-01T12:00:00+00:00")
    at, seen = now.isoformat(), re.fullmatch(r"(?:([0-9]{1,15}):([0-9a-f]{64}))?", asked.seen)
    if not seen or not re.fullmatch(r"([0-9a-f]{6,64})?", asked.model):
        raise Unreadable("--seen must be SIZE:ROOT with 64 hex digits, --model 6 to 64 hex digits")
    words = asked.words[1:] if asked.words[0] == "bundle" and len(asked.words) > 1 else asked.words
    if len(words) != 1:
        raise Unreadable("give one bundle")
    lines = read_lines(words[0], MAX_LINE)
    if asked.trust is None:  # (1)
        next(lines, b"")
        reason = "signers unknown: give the trust root that you got by another way, --trust TRUST.json"
        return {"answer": "UNKNOWN", "reasons": [reason]}
    trust = read_trust(b"".join(part for part, _ in zip(read_lines(asked.trust, MAX_TRUST), "123", strict=False)))
    history, roster, witnesses = read_bundle(lines, trust)  # (2) to (4)
    check_seen(history, int(seen[1] or 0), seen[2] or "")
    judged, models, notes = audit(history, roster, at)  # (5) to (7)
    size, root, known = len(history.entries), roster.roots[-1], max(int(seen[1] or 0), trust.seen[0])
    state, fresh, witnessed = freshness(history, root, witnesses, known, at)
    expired = f"the trust root ended at {root.expires}; ask for a newer one"
    notes += [expired] if fresh.startswith("freshness unproven: the trust root ended") else []
    report = {"origin": trust.origin, "entries": size, "root": history.tree.root(size), "at": at, "notes": notes}
    shown = ("size", "model", "verdict", "outcome")
    report["decisions"] = [{name: getattr(one, name) for name in shown} for one in judged]
    pin = {"version": root.version, "digest": root.digest}
    report |= {"trust_root": pin, "fresh": state, "freshness": fresh, "models": [_model(model) for model in models]}
    answer = _answer([model for model in models if model.judgement.model.startswith(asked.model)], asked.model)
    if not witnessed and not known and root.quorum:
        told = f"the record gives {answer['answer']}, and nobody tells that it is whole: give --seen SIZE:ROOT"
        reasons = [f"the trust root asks for {root.quorum} witnesses, and too few signed; {told}", *answer["reasons"]]
        answer |= {"answer": "UNKNOWN", "reasons": reasons}
    return answer | report


def _answer(models: list[Model], wanted: str) -> dict[str, Any]:
    if not models or (wanted and len(models) > 1):
        what = f"{wanted} names {len(models)} of the models decided on" if wanted else "no decision is on record"
        return {"answer": "UNKNOWN", "reasons": [what]}
    decision, judgement, today = models[-1]
    reasons = [f"{ruling.id} {ruling.status}: {ruling.reason}" for ruling in judgement.rulings]
    found = {"answer": judgement.verdict, "model": judgement.model, "reasons": reasons}
    return {**found, "decided_in": decision.index, "today": today}


def _model(model: Model) -> dict[str, Any]:
    body: dict[str, Any] = {"decided_in": model.decision.index, "standing": model.standing}
    body |= {name: getattr(model.judgement, name) for name in ("model", "verdict", "at", "expires", "assurance")}
    return {**body, "rulings": [ruling._asdict() for ruling in model.judgement.rulings]}


def _lines(report: dict[str, Any]) -> list[str]:
    where = f" (decided in entry {report['decided_in']})  {report['model']}" if "model" in report else ""
    lines = [report["answer"] + ", freshness unproven" * (report.get("fresh") == "unproven") + where]
    if report.get("today") or report["answer"] == "GO":
        lines.append("TODAY: NOT MET, " + report["today"][0] if report["today"] else "TODAY: nothing stands against it")
    lines += [f"  {reason}" for reason in report["reasons"]]
    if "entries" in report:
        count = len(report["decisions"])
        lines.append(f"{report['entries']} entries, every signature and hash checked; {count} decisions recomputed")
        lines.append(f"  origin {report['origin']}, root {report['root']}")
        lines.append(f"  {report['freshness']}")
        for model in report["models"]:
            verdict, entry = f"{model['verdict']}, {model['assurance']}", model["decided_in"]
            lines.append(f"  model {model['model'][:12]}: {verdict}, decided in entry {entry}")
            standing = model["standing"] or ["nothing stands against it today"] * (model["verdict"] == "GO")
            lines += [f"    at {report['at']}: {sentence}" for sentence in standing]
        lines += [f"  note: {note}" for note in report["notes"]]
    return lines


if __name__ == "__main__":
    sys.exit(main())

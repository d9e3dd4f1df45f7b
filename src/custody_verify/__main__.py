"""Check a Custody bundle without Custody: `python -m custody_verify bundle BUNDLE --trust TRUST.json`.

Exit codes: 0 all is confirmed and the verdict is GO; 1 NO-GO, or with --require-today a GO that no longer holds; 2 bad
usage or unreadable; 3 unknown: no trust root, too few witnesses, no decision, inconclusive; 4 refused: a false claim.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from custody_verify.audit import Model, audit, freshness
from custody_verify.ledger import MAX_BUNDLE, MAX_TRUST, read_bundle, read_trust
from custody_verify.strict import Refused, Unreadable, read_file, read_time

EXITS = {"GO": 0, "NO-GO": 1, "UNREADABLE": 2, "UNKNOWN": 3, "INCONCLUSIVE": 3, "REFUSED": 4}
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    usage = "custody-verify [bundle] BUNDLE --trust TRUST.json [options]"
    parser = argparse.ArgumentParser(usage=usage, description="Check a Custody bundle without Custody.")
    parser.add_argument("words", nargs="+", metavar="[bundle] BUNDLE", help="the file to check")
    parser.add_argument("--trust", help="the trust root, obtained by another way than the bundle")
    parser.add_argument("--model", default="", help="first digits of a model's sha256 (default: the newest decided)")
    parser.add_argument("--seen", default="", metavar="SIZE:ROOT", help="a checkpoint you saw before")
    parser.add_argument("--at", default="", help="the moment to judge today's standing by (default: now)")
    parser.add_argument("--require-today", action="store_true", help="exit with 1 for a GO that no longer holds")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    asked = parser.parse_args(arguments)
    try:
        report = verify(asked.words, asked.trust, asked.at, asked.seen, asked.model)
    except (Refused, Unreadable) as error:
        report = {"answer": type(error).__name__.upper(), "reasons": [str(error)]}
    fallen = report["today"] if asked.require_today and report["answer"] == "GO" else []
    report |= {"exit": EXITS["NO-GO" if fallen else report["answer"]], "reasons": [*fallen, *report["reasons"]]}
    for line in [json.dumps(report, indent=2, sort_keys=True)] if asked.json else _lines(report):
        text = "".join(c if c.isprintable() or asked.json else "?" for c in line)
        print(text.encode("ascii", "backslashreplace").decode())
    return int(report["exit"])
def verify(words: list[str], trust_path: str | None, at: str, seen: str, wanted: str) -> dict[str, Any]:
    """Take all steps and return what was found; raises `Refused` and `Unreadable`."""
    now = read_time(at) if at else datetime.now(UTC).replace(microsecond=0)
    if now is None: raise Unreadable("--at must be a moment with a time zone, such as 2026-07-01T12:00:00+00:00")
    known = re.fullmatch(r"(?:([0-9]{1,15}):([0-9a-f]{64}))?", seen)
    if not known or not re.fullmatch(r"([0-9a-f]{6,64})?", wanted):
        raise Unreadable("--seen must be SIZE:ROOT with 64 hex digits, --model 6 to 64 hex digits")
    words = words[1:] if words[0] == "bundle" and len(words) > 1 else words
    if len(words) != 1: raise Unreadable("give one bundle")
    raw = read_file(words[0], MAX_BUNDLE)
    if trust_path is None:  # (1)
        reason = "signers unknown: give the trust root that you got by another way, --trust TRUST.json"
        return {"answer": "UNKNOWN", "reasons": [reason]}
    trust = read_trust(read_file(trust_path, MAX_TRUST))
    before = int(known[1] or 0), known[2] or ""
    history, roster, signed = read_bundle(raw, trust, before)  # (2) to (4)
    judged, models, notes = audit(history, roster, now.isoformat())  # (5) to (7)
    size, root, remembered = len(history.entries), roster.roots[-1], max(before[0], trust.seen[0])
    state, fresh, witnessed = freshness(history, root, signed, remembered, now)
    shown = ("size", "model", "verdict", "outcome")
    report: dict[str, Any] = {
        "origin": trust.origin, "entries": size, "root": history.tree.root(size), "notes": notes,
        "at": now.isoformat(), "trust_root": {"version": root.version, "digest": root.digest},
        "fresh": state, "freshness": fresh, "models": [_model(model) for model in models],
        "decisions": [{name: getattr(one, name) for name in shown} for one in judged],
    }
    asked = [model for model in models if model.judgement.model.startswith(wanted)]
    if not asked or (wanted and len(asked) > 1):
        what = f"{wanted} names {len(asked)} of the models decided on" if wanted else "no decision is on record"
        return report | {"answer": "UNKNOWN", "reasons": [what]}
    decision, judgement, today = asked[-1]
    answer, reasons = judgement.verdict, [f"{one.id} {one.status}: {one.reason}" for one in judgement.rulings]
    report |= {"model": judgement.model, "decided_in": decision.index, "today": today}
    if root.quorum and not witnessed and not remembered:
        reasons.insert(0, f"the record gives {answer}; nobody tells that it is whole: the trust root asks"
                       f" for {root.quorum} witnesses, too few signed, and no --seen SIZE:ROOT was given")
        answer = "UNKNOWN"
    return report | {"answer": answer, "reasons": reasons}
def _model(model: Model) -> dict[str, Any]:
    body: dict[str, Any] = {"decided_in": model.decision.index, "standing": model.standing}
    names = ("model", "verdict", "at", "expires", "assurance", "tried", "seal")
    body |= {name: getattr(model.judgement, name) for name in names}
    return body | {"rulings": [ruling._asdict() for ruling in model.judgement.rulings]}
def _lines(report: dict[str, Any]) -> list[str]:
    where = f" (decided in entry {report['decided_in']})  {report['model']}" if "model" in report else ""
    lines = [report["answer"] + ", freshness unproven" * (report.get("fresh") == "unproven") + where]
    if report.get("today") or report["answer"] == "GO":
        lines.append("TODAY: NOT MET, " + report["today"][0] if report["today"] else "TODAY: nothing stands against it")
    lines += [f"  {reason}" for reason in report["reasons"]]
    if "entries" not in report: return lines
    count = len(report["decisions"])
    lines.append(f"{report['entries']} entries, every signature and hash checked; {count} decisions recomputed")
    lines += [f"  origin {report['origin']}, root {report['root']}", f"  {report['freshness']}"]
    for model in report["models"]:
        verdict, entry = f"{model['verdict']}, {model['assurance']}", model["decided_in"]
        lines.append(f"  model {model['model'][:12]}: {verdict}, decided in entry {entry}")
        standing = model["standing"] or ["nothing stands against it today"] * (model["verdict"] == "GO")
        lines += [f"    at {report['at']}: {sentence}" for sentence in standing]
    return lines + [f"  note: {note}" for note in report["notes"]]

if __name__ == "__main__":
    sys.exit(main())

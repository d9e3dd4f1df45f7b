"""Can loading one of these files run code, write outside its folder or exhaust the machine?

The files are read as bytes and interpreted, never loaded: pickles opcode by opcode against an allowlist of the
names that models of known libraries need, archives in place, headers against the bytes they describe. What
cannot be read is counted in `unread_files` and is never clean.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from custody.checks.artifact._content import look
from custody.checks.artifact._pickle import Use, names_in
from custody.checks.artifact._source import File
from custody.checks.artifact._survey import Exhausted, Limits, Survey
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

_MOST = 1e9


def scan_files(files: Mapping[str, Path], *, limits: Limits | None = None) -> Result:
    """Inspect files by name and path; raises `Unmeasurable` when there are none."""
    if not files:
        raise Unmeasurable("there are no files to scan")
    limits = limits or Limits()
    critical = warnings = unread = 0
    findings: list[Finding] = []
    table = []
    for name, path in sorted(files.items()):
        survey = Survey(look, limits)
        kind = _scan_file(survey, name, path)
        critical += survey.critical_count
        warnings += survey.warning_count
        unread += bool(survey.unread_parts)
        findings.extend(survey.findings)
        findings.extend(
            Finding("info", f"not interpreted: {why}", where, "It counts as unknown, never as clean.")
            for where, why in survey.unread_parts[:20]
        )
        table.append(
            {
                "name": name,
                "format": kind,
                "critical": survey.critical_count,
                "warnings": survey.warning_count,
                "unread": [f"{where}: {why}" for where, why in survey.unread_parts[:20]],
            }
        )
    count = len(files)
    findings.sort(key=lambda finding: ("critical", "warning", "info").index(finding.severity))
    return Result(
        [
            Measure.exact("critical_findings", critical, count),
            Measure.exact("warnings", warnings, count),
            Measure.exact("unread_files", unread, count),
        ],
        findings,
        {"files": table},
    )


def _scan_file(survey: Survey, name: str, path: Path) -> str:
    try:
        with File(path) as source:
            return look(survey, source, name, 0)
    except Exhausted as limit:
        survey.critical(
            name, f"reading was stopped: {limit}", "A loader would be kept busy as well, or the file is a bomb."
        )
        survey.unread(name, f"a limit was reached: {limit}")
        return "unfinished"
    except OSError as error:
        survey.warn(
            name, "the file cannot be opened", error.strerror or str(error), "Links and devices are not followed."
        )
        survey.unread(name, f"cannot be opened: {error.strerror or error}")
        return "unopened"


def names_used(path: Path) -> set[Use]:
    """Return (module, name, use) of everything a trusted file's pickles import; for growing the allowlist."""
    with File(path) as source, names_in() as found:
        look(Survey(look), source, path.name, 0)
    return found


def _example(content: bytes) -> Target:
    folder = Path(tempfile.mkdtemp(prefix="custody-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "model.pkl").write_bytes(content)
    return Target(files={"model.pkl": folder / "model.pkl"})


@check(
    stage=Stage.ARTIFACT,
    measures={
        "critical_findings": Scale(0, _MOST, "lower", "findings", "What must not be loaded."),
        "warnings": Scale(0, _MOST, "lower", "findings", "What a person should look at."),
        "unread_files": Scale(0, _MOST, "lower", "files", "Files of which some part could not be interpreted."),
    },
    example=Example(
        measure="critical_findings",
        clean=lambda: _example(b"\x80\x04}\x94\x8c\x01a\x94K\x01s."),
        caught=lambda: _example(b"cos\ngetcwd\n(tR."),
        at_most=0,
    ),
)
def scan(target: Target) -> Result:
    """Scan every file of the artifact."""
    return scan_files(target.need_files())

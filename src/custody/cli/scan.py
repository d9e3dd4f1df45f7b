"""`custody scan`: look into files without opening them."""

from __future__ import annotations

from pathlib import Path

import click

from custody.cli.app import App, face
from custody.cli.results import finding_lines, measure_line


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@face
def scan(app: App, paths: tuple[Path, ...]) -> None:
    """Look for code in the model files PATHS, without loading them. Needs no project.

    Exit 0: nothing found. 1: opening them could run code. 3: a file could not be read, so nothing is known.
    """
    from custody.checks.artifact.scan import scan_files
    from custody.errors import InvalidInput

    files: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            files.update({str(child): child for child in sorted(path.rglob("*")) if child.is_file()})
        elif path.is_file():
            files[str(path)] = path
        else:
            raise InvalidInput(f"{path} does not exist")
    if not files:
        raise InvalidInput("there are no files to scan in these folders")
    result = scan_files(files)
    measures = {measure.name: measure.to_json() for measure in result.measures}
    findings = [finding.to_json() for finding in result.findings]
    critical, unread = measures["critical_findings"]["value"], measures["unread_files"]["value"]
    code = 3 if critical is None or unread is None else 1 if critical else 3 if unread else 0
    words = {0: "Nothing found", 1: "Opening these files could run code", 3: "Not everything could be read: unknown"}
    lines = [f"{words[code]}: {len(files)} files.", *finding_lines(findings)]
    lines += [f"  {measure_line(measure)}" for measure in measures.values()]
    app.show({"files": sorted(files), "measures": list(measures.values()), "findings": findings}, lines, code)

"""`custody ledger anchor` and `custody ledger anchors`: outside eyes on the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from custody.cli.app import App, counted, face, writable
from custody.core import predicates as kinds

_MAX_ROOTS_BYTES = 4 * 1024 * 1024


@click.command()
@click.option(
    "--witness", "urls", multiple=True, metavar="URL", help="Ask this witness; the default is custody.toml's."
)
@click.option(
    "--tsa", "authorities", multiple=True, metavar="URL", help="Ask this authority for an RFC 3161 time stamp."
)
@click.option(
    "--request", "ask", type=click.Path(path_type=Path), help="Write a request for a witness by file; no anchor."
)
@click.option("--from", "old", type=click.IntRange(0), help="With --request: the size that witness signed last.")
@click.option(
    "--cosigned",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Anchor this note that a witness signed.",
)
@face
def anchor(
    app: App,
    urls: tuple[str, ...],
    authorities: tuple[str, ...],
    ask: Path | None,
    old: int | None,
    files: tuple[Path, ...],
) -> None:
    """Have witnesses and time-stamping authorities see the newest checkpoint, and put their word on record.

    The trust root says whose cosignature counts and how many are needed; with fewer nothing is recorded and
    the exit code is 3. A witness that saw another history ends with 4.
    """
    from custody.stages.anchoring import anchor as show_outside

    if ask is not None:
        _write_request(app, ask, old)
    custody = app.custody
    panel = custody.panel(urls, authorities)
    if not app.json and (panel.eyes or panel.authorities):
        app.say(f"asking {counted(len(panel.eyes) + len(panel.authorities), 'outsider')} ...")
    found = show_outside(custody.desk, panel, [_read_note(path) for path in files])
    checkpoint = found.checkpoint
    lines = [f"{checkpoint.size} entries are anchored (entry {found.entry.index})."]
    for name, when in sorted(found.cosigned.items()):
        also = ", and the anchor itself" if name in found.covered else ""
        lines.append(f"  {name} signed at {_at(when)}{also}")
    lines += [f"  {url}: time stamp, not verified yet: custody ledger anchors" for url in found.stamped]
    for outcome in found.outcomes:
        if outcome.state != "signed":
            mark = click.style("ALARM ", fg="red", bold=True) if outcome.state == "conflict" else ""
            lines.append(f"  {mark}{outcome.url}: {outcome.reason}")
    if not found.cosigned:
        lines.append("  no witness of the trust root signed: freshness stays unproven")
    body = {
        "entry": found.entry.index,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "cosigned": {name: _at(when) for name, when in found.cosigned.items()},
        "covered": list(found.covered),
        "stamped": list(found.stamped),
        "quorum": panel.quorum,
        "outcomes": [{"url": one.url, "state": one.state, "reason": one.reason} for one in found.outcomes],
    }
    app.show(body, lines)


@click.command()
@click.option("--export", "folder", type=click.Path(path_type=Path), help="Write notes and time stamps there as files.")
@face
def anchors(app: App, folder: Path | None) -> None:
    """List what outside eyes said of this ledger; time stamps count once they are verified.

    With --export each anchor's text and time stamps lie in a folder, for `openssl ts -verify -data TEXT -in TOKEN`.
    """
    from custody.errors import InvalidInput
    from custody.records.freshness import anchors as read_anchors
    from custody.records.freshness import eyes_of

    custody = app.custody
    record = custody.desk.read()
    eyes = eyes_of(record)
    if folder is not None:
        if folder.exists():
            raise InvalidInput(f"{folder} exists already", hint="name a folder that does not")
        folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    for one in read_anchors(record, custody.desk.reading):
        size, signed = one.checkpoint.size, one.cosigned(eyes.witnesses)
        stamps = [_stamp(app, token.tsa, token.reply, one.checkpoint.body().encode()) for token in one.tokens]
        rows.append(
            {
                "entry": one.index,
                "size": size,
                "root": one.checkpoint.root.hex(),
                "cosigned": {name: _at(when) for name, when in signed.items()},
                "stamps": stamps,
            }
        )
        lines.append(f"  entry {one.index}: {size} entries, root {one.checkpoint.root.hex()[:16]}")
        lines += [f"    signed by {name} at {_at(when)}" for name, when in sorted(signed.items())]
        lines += [f"    {stamp['tsa']}: {stamp['sentence']}" for stamp in stamps]
        if folder is not None:
            (folder / f"{size}.txt").write_text(one.checkpoint.body(), encoding="utf-8")
            (folder / f"{size}.note").write_text(one.note, encoding="utf-8")
            for number, token in enumerate(one.tokens):
                (folder / f"{size}-{number}.tsr").write_bytes(token.reply)
    ignored = len(record.of_kind(kinds.ANCHOR)) - len(rows)
    if ignored:
        lines.append(f"  {counted(ignored, 'anchor')} on record {'is' if ignored == 1 else 'are'} not of this ledger")
    app.show({"anchors": rows, "ignored": ignored, "quorum": eyes.quorum}, lines or ["  nobody outside has seen it"])


def _write_request(app: App, path: Path, old: int | None) -> None:
    from custody.stages.anchoring import request_for

    request = request_for(app.custody.desk, old)
    writable(path).write_bytes(request.to_bytes())
    size = int(request.note.split("\n")[1])
    lines = [
        f"{path}: asks for a signature on {size} entries, from {request.old} on.",
        f"next: custody witness cosign {path}   (on the witness's machine)",
        "then: custody ledger anchor --cosigned FILE",
    ]
    app.show({"request": str(path), "size": size, "from": request.old}, lines)


def _read_note(path: Path) -> str:
    from custody.errors import InvalidInput
    from custody.given import read_given
    from custody.ledger.note import MAX_NOTE_BYTES

    try:
        return read_given(path, MAX_NOTE_BYTES).decode()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not a signed note: it is not UTF-8") from None


def _stamp(app: App, tsa: str, reply: bytes, body: bytes) -> dict[str, Any]:
    """Say of one time stamp whether it holds; what cannot be verified here is a claim and counts for nothing."""
    from custody.errors import InvalidInput, Tampered, Unavailable
    from custody.given import read_given
    from custody.ledger.timestamp import read_reply, verify_reply

    roots = app.custody.config.tsa_roots
    try:
        claim = read_reply(reply).at.isoformat()
        if roots is None:
            why = "no roots of authorities are named: [witness] tsa_roots in custody.toml"
            return {"tsa": tsa, "state": "unverified", "at": claim, "sentence": f"claims {claim}, unverified: {why}"}
        at = verify_reply(reply, body, read_given(roots, _MAX_ROOTS_BYTES)).isoformat()
    except (Unavailable, OSError) as error:
        return {"tsa": tsa, "state": "unverified", "at": "", "sentence": f"unverified: {error}"}
    except (InvalidInput, Tampered) as error:
        return {"tsa": tsa, "state": "broken", "at": "", "sentence": f"does not hold: {error.message}"}
    return {"tsa": tsa, "state": "verified", "at": at, "sentence": f"existed at {at}, verified"}


def _at(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat()

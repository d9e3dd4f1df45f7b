"""Every file a stranger can hand to a command, damaged in every way: refused at once, in little memory, with a reason.

Each command runs as its user runs it, in a process of its own that is forked from one in which the modules are
loaded already: its processor time, its memory and its exit are its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Place

CPU_SECONDS = 1.5
MEGABYTES = 200
HUGE = 300 * 1024**2

FORKING = """
import json, os, resource, signal, sys, time
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
import custody.cli.main, custody_verify.__main__, custody.wiring, sqlite3
from custody.errors import CustodyError

def body(case):
    os.chdir(case["cwd"])
    os.environ.update(case["env"])
    program, *words = case["words"]
    sys.argv = [program, *words]
    if program == "custody-verify":
        sys.exit(custody_verify.__main__.main(words))
    if program == "vault":
        try:
            for place in os.listdir(".custody/vault/models"):
                custody.wiring.open_custody().vault.open(place)
        except CustodyError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
        sys.exit(0)
    custody.cli.main.main()

for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(20)  # whoever hangs is ended, and its exit says so
        for number, name in ((0, os.devnull), (1, case["out"]), (2, case["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        code = 99
        try:
            body(case)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    told = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
    print(json.dumps(told), flush=True)
"""


class Forking:
    """Runs commands one after another, each in a fork of one process."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, cwd: Path, words: Sequence[str], env: dict[str, str]) -> tuple[int, float, float, str]:
        """Return exit code, processor seconds, megabytes at most, and everything that was printed."""
        case = {"cwd": str(cwd), "words": list(words), "env": env, "out": str(self.out), "err": str(self.err)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        code, seconds, megabytes = json.loads(self._process.stdout.readline())
        return code, seconds, megabytes, self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)


@dataclass(frozen=True)
class Given:
    """One kind of file: where it lies, which command reads it, and which damage it knows beside the common ones.

    `sound` is the exit code with the undamaged file: the command works, so it is the damage that is refused.
    """

    path: str
    words: str
    form: str
    sound: int = 0
    codes: frozenset[int] = frozenset({2, 4})
    but: frozenset[str] = frozenset()
    """Damages that leave this file as good as before, or that another row covers."""


def given(path: str, words: str, form: str, sound: int = 0, also: Sequence[int] = (), but: Sequence[str] = ()) -> Given:
    """Say a row of the table."""
    return Given(path, words, form, sound, frozenset({2, 4, *also}), frozenset(but))


RULES = '@id("no-weekends")\nforbid (principal, action, resource) when { context.stage == "weekend" };\n'
STEPS = """\
import os
import custody_run
for step in custody_run.steps(range(3)):
    custody_run.log(loss=1 / (step + 1))
open(os.path.join(os.environ["CUSTODY_OUT"], "model.json"), "w").write('{"slope": 1}')
"""
VERIFY = "custody-verify bundle given/bundle.json --at 2030-01-01T00:00:00+00:00 --trust"
MISSING = ["gone", "dangling link"]
FILES: dict[str, Given] = {
    # A project without its custody.toml is none: exit 3, as for any command outside a project.
    "custody.toml": given("custody.toml", "custody status", "toml", also=[3]),
    "criteria": given("criteria.toml", "custody gate seal", "toml"),
    "access rules": given(
        "given/access.cedar", "custody access check given/access.cedar", "text", but=["empty", "CRLF"]
    ),
    "the project's access rules": given(
        "access.cedar", "custody access matrix", "text", but=["empty", "CRLF", *MISSING]
    ),
    "trust root for the verifier": given("given/trust.json", f"{VERIFY} given/trust.json", "json", 3, but=["pipe"]),
    "trust root": given("given/trust.json", "custody ledger check given/entry.proof --trust given/trust.json", "json"),
    # The verifier reads a pipe as it comes, for `zcat | custody-verify /dev/stdin`; what is larger than
    # 200 MB is within its limit of size.
    "bundle for the verifier": given("given/bundle.json", f"{VERIFY} given/trust.json", "json", 3, but=["pipe"]),
    "bundle": given(
        "given/bundle.json", "custody audit assure --bundle given/bundle.json --trust given/trust.json", "json", 3
    ),
    "proof": given("given/entry.proof", "custody ledger check given/entry.proof --trust given/trust.json", "text"),
    "witness request": given(
        "given/request", "custody witness cosign given/request -o given/again --folder given/eye", "text", 3
    ),
    "cosigned note": given("given/note", "custody ledger anchor --cosigned given/note", "text", 3),
    "what a witness signed last": given(
        "given/eye/logs/*", "custody witness status --folder given/eye", "json", but=MISSING
    ),
    "who a witness is": given("given/eye/witness.json", "custody witness status --folder given/eye", "json"),
    "root proposal, signed": given("given/root.json", "custody keys root sign given/root.json", "json"),
    "root proposal, applied": given("given/root.json", "custody keys root apply given/root.json", "json", 5),
    "key request": given("given/dana.json", "custody init person dana --role auditor --key given/dana.json", "json"),
    "public key": given(
        "given/dana.pem", "custody init person dana --role auditor --key given/dana.pem", "pem", but=["byte-order mark"]
    ),
    "private key": given(
        ".custody/keys/olga.pem",
        "custody init person dana --role auditor --key given/dana.pem",
        "pem",
        but=["byte-order mark"],
    ),
    "log key": given(
        ".custody/keys/log.pem",
        "custody init person dana --role auditor --key given/dana.pem",
        "pem",
        but=["byte-order mark"],
    ),
    "vault root key": given(".custody/keys/vault.key", "vault", "json", also=[3]),  # what is no file counts as none
    "vault entry": given(".custody/vault/models/*/entry.json", "vault", "json"),
    "vault key": given(".custody/vault/models/*/key", "vault", "json"),
    "vault file keys": given(".custody/vault/models/*/file-keys", "vault", "json"),
    "ledger": given(".custody/ledger.db", "custody audit verify", "binary", also=[0]),
    # What is derived is written anew where it is damaged.
    "tree nodes": given(".custody/nodes/00", "custody ledger prove 3", "binary", also=[0]),
    "published checkpoint": given(".custody/tiles/checkpoint", "custody ledger tiles", "text", also=[0, 6]),
    "remembered checkpoint": given(".state/" + "[0-9a-f]" * 32 + ".json", "custody status", "json", but=MISSING),
    "remembered verification": given(".state/*.verified.json", "custody status", "json", also=[0, 6]),
    # Exit 3: it is read, and then the files of this table lie beside the code that was trained with.
    "transcript": given(".custody/runs/*/transcript.jsonl", "custody run spot-check", "json", 3),
}


def sparse(path: Path, good: bytes) -> None:
    """Let the file go on for 300 MB that take no room on the disk."""
    path.write_bytes(good)
    os.truncate(path, HUGE)


def number(good: bytes, text: bytes) -> bytes:
    """Put `text` where the first number stands."""
    return re.sub(rb":\d+", b":" + text, good, count=1)


def special(make: Callable[[Path], None]) -> Callable[[Path, bytes], None]:
    """Put something else in the file's place."""
    return lambda path, _: make(path)


def content(change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    """Write changed bytes."""
    return lambda path, good: path.write_bytes(change(good)) and None


Damage = Callable[[Path, bytes], None]
ANY: dict[str, Damage] = {
    "gone": special(lambda path: None),
    "empty": content(lambda good: b""),
    "truncated": content(lambda good: good[: len(good) * 2 // 3]),
    "sparse": sparse,
    "100,000 levels": content(lambda good: b"[" * 100_000),
    "100,000 levels, closed": content(lambda good: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "random": content(lambda good: bytes((n * n * 31 + n // 7) % 256 for n in range(60_000))),
    "not UTF-8": content(lambda good: good[:40] + b"\xff\xfe" + good[42:]),
    "NUL bytes": content(lambda good: good[:40] + b"\0\0" + good[42:]),
    "byte-order mark": content(lambda good: b"\xef\xbb\xbf" + good),
    "folder": special(Path.mkdir),
    "pipe": special(os.mkfifo),
    "device": special(lambda path: path.symlink_to("/dev/zero")),
    "dangling link": special(lambda path: path.symlink_to("nowhere")),
    "one long line": content(lambda good: b"A" * 300_000),
    "lines without end": content(lambda good: b"a\n" * 150_000),
}
JSON: dict[str, Damage] = {
    "a key twice": content(lambda good: good.replace(b"{", b'{"format":"x","format":"x",', 1)),
    "many keys, one twice": content(
        lambda good: b"{" + b",".join(b'"%d":0' % n for n in range(200_000)) + b',"199999":0}'
    ),
    "not a number": content(lambda good: good.replace(b"{", b'{"size":NaN,', 1)),
    "infinite": content(lambda good: good.replace(b"{", b'{"size":Infinity,', 1)),
    "beyond 2^53": content(lambda good: good.replace(b"{", b'{"size":9007199254740993,', 1)),
    "10,000 digits": content(lambda good: good.replace(b"{", b'{"size":' + b"9" * 10_000 + b",", 1)),
    "half a character": content(lambda good: good.replace(b"{", b'{"a":"\\ud800",', 1)),
    "many parts": content(lambda good: b"[" + b"{}," * 700_000 + b"{}]"),
    "another kind of value": content(lambda good: b"[]"),
    "an empty object": content(lambda good: b"{}"),
    "two documents": content(lambda good: good + good),
}
TOML: dict[str, Damage] = {
    "a key twice": content(lambda good: b'use_case = "a"\nuse_case = "b"\n' + good),
    "100,000 dots": content(lambda good: b"a" + b".a" * 100_000 + b" = 1\n"),
    "10,000 dots": content(lambda good: b"[a" + b".a" * 10_000 + b"]\n" + good),
    "100,000 tables": content(lambda good: b"a = " + b"{a=" * 60_000),
    "not a number": content(lambda good: b"confidence = nan\n" + good.replace(b"confidence", b"other")),
    "10,000 digits": content(lambda good: b"confidence = " + b"9" * 10_000 + b"\n"),
    "half a character": content(lambda good: b'use_case = "\\ud800"\n'),
}
TEXT: dict[str, Damage] = {
    "CRLF": content(lambda good: good.replace(b"\n", b"\r\n")),
    "200,000 brackets": content(lambda good: b"permit (" + b"(" * 200_000),
    "200,000 negations": content(lambda good: b"permit (principal, action, resource) when {" + b"!" * 200_000),
}
PEM: dict[str, Damage] = {
    "another key's": content(lambda good: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    "no end": content(lambda good: good.split(b"-----END")[0]),
    "no base64": content(lambda good: good.replace(b"M", b"!")),
}
FORMS = {"json": JSON, "toml": TOML, "text": TEXT, "pem": PEM, "binary": {}}


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """Give the process that commands are forked from."""
    found = Forking(tmp_path_factory.mktemp("forking"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def project(solo_of: Callable[[str, Path], Place], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a project with a trained model and one of every file that travels."""
    place = solo_of("sealed", tmp_path_factory.mktemp("hostile"))
    files = place.folder / "given"
    files.mkdir()
    (place.folder / "steps.py").write_text(STEPS)
    commands = [
        f"run -- {sys.executable} steps.py",
        "init person bea --role auditor",
        "audit export -o given/bundle.json",
        "audit trust-root -o given/trust.json",
        "ledger prove 3 -o given/entry.proof",
        "ledger tiles",
        "keys root propose --add-owner bea -o given/root.json",
        "keys new dana -o given/dana.json",
        "ledger anchor --request given/request",
        "witness init eye.example/one --folder given/eye",
        f"witness follow {log_of(place)} --folder given/eye",
        "witness cosign given/request -o given/note --folder given/eye",
    ]
    for command in commands:
        said = place.plain(*command.split())
        assert said.code == 0, f"{command}: {said.both}"
    (files / "dana.pem").write_text(json.loads((files / "dana.json").read_bytes())["key"])
    (files / "access.cedar").write_text(RULES)
    (place.folder / "access.cedar").write_text(RULES)
    return place


def log_of(place: Place) -> str:
    """Return the words that tell a witness which log to follow."""
    from custody.config import read_config

    config = read_config(place.folder / "custody.toml", {})
    return f"{config.origin} {config.log_key}"


@pytest.mark.parametrize("name", FILES)
def test_what_is_damaged_is_refused_at_once_and_with_a_reason(name: str, project: Place, forking: Forking) -> None:
    row = FILES[name]
    clean = project.folder.parent / f"clean-{name}".replace(" ", "-")
    shutil.copytree(project.folder, clean, symlinks=True)
    env = {**project.environment(), "CUSTODY_STATE": str(clean / ".state")}
    (path,) = [clean / row.path] if not set("*[") & set(row.path) else list(clean.glob(row.path))
    good, mode = path.read_bytes(), path.stat().st_mode
    wrong: list[str] = []
    for damage, spoil in {**ANY, **FORMS[row.form]}.items():
        if damage in row.but:
            continue
        path.unlink(missing_ok=True)
        spoil(path, good)
        if path.is_file():
            path.chmod(mode)
        code, seconds, megabytes, said = forking(clean, row.words.split(), env)
        if code not in row.codes and not (damage in MISSING and code == 3):
            wrong.append(f"{damage}: exit {code}: {said[-300:]}")
        if "Traceback" in said or (code and len(said.split()) < 3):
            wrong.append(f"{damage}: no reason: {said[-900:]}")
        if seconds > CPU_SECONDS or megabytes > MEGABYTES:
            wrong.append(f"{damage}: {seconds:.1f} s, {megabytes:.0f} MB")
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(good)
    path.chmod(mode)
    code, *_, said = forking(clean, row.words.split(), env)
    assert not wrong, "\n".join(wrong)
    assert code == row.sound, said
    shutil.rmtree(clean)

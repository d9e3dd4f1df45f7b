"""What is arranged around a command, and the run without isolation. The seal: tests/integration/test_sandbox.py."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from custody.adapters import bubblewrap
from custody.adapters.bubblewrap import Bare, Bubblewrap, detect
from custody.adapters.hints import Place, explain
from custody.adapters.program import resolve, sealed_environment
from custody.adapters.view import View
from custody.core.sandbox import Mount, Outcome, fixed_environment, layout
from custody.errors import InvalidInput, Tampered


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bare(folder: Path, *command: str, **options: object) -> Outcome:
    settings: dict[str, object] = {
        "mounts": [],
        "output": folder / "out",
        "work": folder,
        "environment": {},
        "time_limit": 20.0,
        "log": folder / "log",
        **options,
    }
    return Bare().run(list(command), **settings)  # type: ignore[arg-type]


# Layout


def test_an_input_is_seen_where_the_script_and_custody_look_for_it(tmp_path: Path) -> None:
    far = tmp_path.parent / "far.csv"
    mounts = layout(tmp_path, [("train.py", "ab")], [(tmp_path / "data" / "a.csv", ""), (far, "cd")])
    assert [(mount.inside, mount.sha256) for mount in mounts] == [
        ("train.py", "ab"),
        ("/custody/in/a.csv", ""),
        ("data/a.csv", ""),
        ("/custody/in/far.csv", "cd"),
        (str(far), "cd"),
    ]


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="two inputs are named"):
        layout(tmp_path, [], [(tmp_path / "a" / "x.csv", ""), (tmp_path / "b" / "x.csv", "")])


def test_the_output_folder_may_not_make_code_or_inputs_writable(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path.parent):
        with pytest.raises(InvalidInput, match="contains the code"):
            layout(tmp_path, [], [], output)
    with pytest.raises(InvalidInput, match="is inside the output folder"):
        layout(tmp_path, [], [(tmp_path / "out" / "x.csv", "")], tmp_path / "out")
    assert layout(tmp_path, [], [(tmp_path / "x.csv", "")], tmp_path / "out")


@pytest.mark.parametrize("inside", ["../x", "a/../../x", "", "/", "a\nb"])
def test_a_mount_cannot_climb_out(tmp_path: Path, inside: str) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InvalidInput, match="not a path"):
        View([Mount(tmp_path / "x", inside)], tmp_path)


def test_code_is_copied_while_it_is_hashed(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print(1)")
    with View([Mount(script, "train.py", sha256(script))], tmp_path) as view:
        script.write_text("print(666)")
        assert (view.code / "train.py").read_text() == "print(1)"
    assert not view.folder.exists()


def test_bytes_that_are_not_what_was_hashed_are_never_shown(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print(1)")
    digest = sha256(script)
    script.write_text("print(2)")
    with pytest.raises(Tampered, match="has changed"):
        View([Mount(script, "train.py", digest)], tmp_path)


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no\.csv does not exist"):
        View([Mount(tmp_path / "no.csv", "no.csv")], tmp_path)


# The command and its environment


def test_the_interpreter_of_a_command_is_found_and_shown(tmp_path: Path) -> None:
    program = resolve([sys.executable, "train.py"], tmp_path)
    assert program.words == (sys.executable, "train.py")
    assert program.path.split(":")[0] == str(Path(sys.executable).parent)
    visible = [Path(folder) for folder in program.folders]
    assert not any(tmp_path.is_relative_to(folder) for folder in visible)


def test_a_virtual_environment_that_shares_the_project_folder_does_not_show_the_data(tmp_path: Path) -> None:
    for folder in ("bin", "lib", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyvenv.cfg").write_text("")
    from custody.adapters.program import _visible

    python = {
        "executable": str(tmp_path / "bin" / "python"),
        "prefix": str(tmp_path),
        "base_prefix": "/usr",
        "paths": [str(tmp_path)],
        "user_site": "",
    }
    assert set(_visible(python, tmp_path)) == {tmp_path / "bin", tmp_path / "lib", tmp_path / "pyvenv.cfg"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "no command"),
        (["no-such-program"], "not found"),
        (["./train.py"], "not executable"),
        (["a\0b"], "zero byte"),
    ],
)
def test_a_command_that_cannot_run_is_refused_before_anything_starts(
    tmp_path: Path, command: list[str], words: str
) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(InvalidInput, match=words):
        resolve(command, tmp_path)


def test_nothing_of_the_hosts_environment_is_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("LD_PRELOAD", "/tmp/evil.so")
    program = resolve([sys.executable], tmp_path)
    inner = sealed_environment(
        {"CUSTODY_SEED": "5"}, program, out="/custody/out", inputs="/custody/in", site="/custody/site"
    )
    assert "hunter2" not in str(inner)
    assert "LD_PRELOAD" not in inner
    assert inner["CUSTODY_OUT"] == "/custody/out"
    assert inner["PYTHONPATH"] == "/custody/site"
    assert inner["PYTHONHASHSEED"] == "5"


def test_a_seed_that_is_no_number_is_refused(tmp_path: Path) -> None:
    program = resolve([sys.executable], tmp_path)
    with pytest.raises(InvalidInput, match="CUSTODY_SEED"):
        sealed_environment({"CUSTODY_SEED": "seven"}, program, out="", inputs="", site="")


def test_the_hash_seed_fits_python() -> None:
    assert fixed_environment(seed=2**53 + 1)["PYTHONHASHSEED"] == str((2**53 + 1) % 2**32)


# Without isolation


def test_without_bubblewrap_the_reason_is_recorded(tmp_path: Path) -> None:
    found = detect(str(tmp_path / "bwrap"))
    assert found.describe().kind == "none"
    assert found.describe().network is True
    assert "does not work here" in found.describe().detail


def test_a_bubblewrap_that_is_broken_is_not_trusted(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    detail = detect(str(broken)).describe().detail
    assert "No permissions to create new namespace" in detail


def test_a_bubblewrap_that_only_pretends_to_seal_is_not_trusted(tmp_path: Path) -> None:
    pretender = tmp_path / "bwrap"
    pretender.write_text("#!/bin/sh\nexit 0\n")
    pretender.chmod(0o755)
    assert detect(str(pretender)).describe().kind == "none"


def test_a_missing_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda *_, **__: None)
    assert "package bubblewrap" in detect().describe().detail


def test_a_bare_run_has_the_same_variables_and_reports_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    (tmp_path / "t.py").write_text(
        "import os, random\n"
        "print(os.environ.get('TOKEN'), os.environ['CUSTODY_SEED'], random.random())\n"
        "open(os.path.join(os.environ['CUSTODY_OUT'], 'x'), 'w').write('1')\n"
    )
    pieces: list[bytes] = []
    first = bare(tmp_path, sys.executable, "t.py", environment={"CUSTODY_SEED": "9"}, watch=pieces.append)
    one = (tmp_path / "log").read_text()
    bare(tmp_path, sys.executable, "t.py", environment={"CUSTODY_SEED": "9"})
    assert first.succeeded
    assert first.cpu_seconds > 0
    assert first.max_rss > 1_000_000
    assert one.startswith("None 9 ")
    assert one == (tmp_path / "log").read_text() == b"".join(pieces).decode()
    assert (tmp_path / "out" / "x").exists()


def test_a_bare_run_stops_its_whole_group_at_the_time_limit(tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = bare(tmp_path, "/bin/sh", "-c", "sleep 100 & echo $! > child; sleep 100", time_limit=0.3)
    assert outcome.timed_out
    assert outcome.exit_code == 124
    assert time.monotonic() - start < 5
    deadline = time.monotonic() + 5
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    while child.exists() and child.read_text().split(")")[1].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists() or child.read_text().split(")")[1].split()[0] == "Z"


def test_killing_a_bare_child_kills_its_children(tmp_path: Path) -> None:
    process = Bare().popen(
        ["/bin/sh", "-c", "sleep 100 & echo $!; wait"], mounts=[], environment={}, log=tmp_path / "log", work=tmp_path
    )
    assert process.stdin is not None
    assert process.stdout is not None
    child = Path("/proc", process.stdout.readline().decode().strip(), "stat")
    assert child.exists()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    deadline = time.monotonic() + 5
    while child.exists() and child.read_text().split(")")[1].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists() or child.read_text().split(")")[1].split()[0] == "Z"


def test_a_bare_run_of_changed_bytes_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "t.sh").write_text("touch began")
    with pytest.raises(Tampered):
        bare(tmp_path, "/bin/sh", "t.sh", mounts=[Mount(tmp_path / "t.sh", "t.sh", "0" * 64)])
    assert not (tmp_path / "began").exists()


def test_signals_and_codes_are_told_apart(tmp_path: Path) -> None:
    assert bare(tmp_path, "/bin/sh", "-c", "exit 7").exit_code == 7
    assert bare(tmp_path, "/bin/sh", "-c", "kill -9 $$").exit_code == 137


def test_an_output_folder_that_grows_too_large_fails_the_run(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 40 ]; do head -c 65536 /dev/zero > out/$i; i=$((i+1)); done"
    outcome = bare(tmp_path, "/bin/sh", "-c", script, output_limit=1_000_000)
    assert outcome.exit_code == 1
    assert "grew beyond 1000000 bytes" in outcome.hint


def test_importing_starts_nothing() -> None:
    code = "import custody.adapters.bubblewrap, custody.adapters.predictor, sys; print('numpy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "False"


def test_describing_the_seal_without_a_filter_admits_it() -> None:
    assert Bubblewrap(seal=b"").describe().seccomp is False
    assert "no system call filter" in Bubblewrap(seal=b"").describe().detail


# Hints


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1")
    (tmp_path / "features.py").write_text("")
    return Place(tmp_path, tmp_path / "model", "/opt/python", sealed=True)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'data/x.csv'",
            "was not declared; add --data data/x.csv",
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/custody/code/data/x.csv'",
            "was not declared; add --data data/x.csv",
        ),
        ("FileNotFoundError: No such file or directory (os error 2): data/x.csv", "add --data data/x.csv"),
        ("cat: data/x.csv: No such file or directory", "add --data data/x.csv"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data/y.csv'", "data/y.csv, which does not exist"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/custody/in/z'", "no declared input has that name"),
        (
            "OSError: [Errno 30] Read-only file system: 'notes.txt'",
            "wrote to notes.txt outside its output folder; write below model",
        ),
        ("PermissionError: [Errno 13] Permission denied: 'data/x.csv'", "may not open data/x.csv"),
        ("PermissionError: [Errno 1] Operation not permitted", "a system call that a sealed run refuses"),
        ("OSError: [Errno 101] Network is unreachable", "network, which a sealed run does not have"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "network"),
        ("ModuleNotFoundError: No module named 'lightgbm.basic'", "lightgbm is not installed for /opt/python"),
        ("ModuleNotFoundError: No module named 'features'", "not captured as code"),
        ("FileExistsError: [Errno 17] File exists: 'model'", "exist_ok=True"),
        ("MemoryError", "ran out of memory"),
        ("ValueError: x", ""),
    ],
)
def test_the_log_is_explained(place: Place, said: str, hint: str) -> None:
    found = explain(f"Traceback (most recent call last):\n{said}\n", place)
    assert hint in found
    assert bool(found) == bool(hint)


def test_the_last_complaint_counts(place: Place) -> None:
    tail = "OSError: [Errno 101] Network is unreachable\nretrying\nModuleNotFoundError: No module named 'x'\n"
    assert "x is not installed" in explain(tail, place)

"""The seal, tried from inside by scripts that want out. Needs bubblewrap and a kernel that lets it work."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.adapters import supervise
from custody.adapters.bubblewrap import Bubblewrap, detect
from custody.core.sandbox import Mount, Outcome, layout
from custody.errors import InvalidInput, Tampered

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def sandbox() -> Bubblewrap:
    found = detect()
    if not isinstance(found, Bubblewrap):
        pytest.skip(found.describe().detail)
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.csv").write_text("a,b\n1,2\n")
    (folder / "data" / "secret.csv").write_text("salary\n1000000\n")
    return folder


@pytest.fixture
def run(sandbox: Bubblewrap, work: Path) -> Run:
    """Run a Python script sealed, with data/train.csv declared and model/ as output."""

    def start(script: str, **options: object) -> Outcome:
        path = work / "train.py"
        path.write_text(script)
        output = work / "model"
        mounts = layout(work, [("train.py", sha256(path))], [(work / "data" / "train.csv", "")], output)
        settings: dict[str, object] = {
            "mounts": mounts,
            "output": output,
            "work": work,
            "environment": {"CUSTODY_SEED": "11"},
            "time_limit": 60.0,
            "log": work.parent / "log",
            **options,
        }
        return sandbox.run([sys.executable, "train.py"], **settings)  # type: ignore[arg-type]

    return start


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def log(work: Path) -> str:
    return (work.parent / "log").read_text()


# What a script needs works


def test_an_unchanged_script_runs(run: Run, work: Path) -> None:
    outcome = run(
        "import os\n"
        "os.makedirs('model', exist_ok=True)\n"
        "text = open('data/train.csv').read()\n"
        "open('model/model.txt', 'w').write(text)\n"
        "open('/tmp/scratch', 'w').write('x')\n"
        "print('trained')\n"
    )
    assert outcome.succeeded, log(work)
    assert log(work) == "trained\n"
    assert (work / "model" / "model.txt").read_text() == "a,b\n1,2\n"
    assert outcome.cpu_seconds > 0.005
    assert outcome.max_rss > 5_000_000


def test_every_name_of_an_input_and_of_the_output_leads_there(run: Run, work: Path) -> None:
    outcome = run(
        f"paths = ['data/train.csv', '/custody/in/train.csv', {str(work / 'data/train.csv')!r}]\n"
        "paths.append('/custody/code/data/train.csv')\n"
        "assert len({open(path).read() for path in paths}) == 1\n"
        f"for number, folder in enumerate(['model', '/custody/out', {str(work / 'model')!r}]):\n"
        "    open(f'{folder}/{number}', 'w').write('x')\n"
    )
    assert outcome.succeeded, log(work)
    assert sorted(path.name for path in (work / "model").iterdir()) == ["0", "1", "2"]


def test_an_output_folder_elsewhere_is_found_by_its_absolute_path(run: Run, tmp_path: Path, work: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    outcome = run(f"open({str(elsewhere / 'm')!r}, 'w').write('x')", output=elsewhere)
    assert outcome.succeeded, log(work)
    assert (elsewhere / "m").exists()


def test_shell_scripts_and_their_subprocesses_run(sandbox: Bubblewrap, work: Path) -> None:
    script = work / "go.sh"
    script.write_text("#!/bin/sh\nprintf done > model/x\npython3 -c 'print(6*7)'\n")
    script.chmod(0o755)
    outcome = sandbox.run(
        ["./go.sh"],
        mounts=layout(work, [("go.sh", sha256(script))], []),
        output=work / "model",
        work=work,
        environment={},
        time_limit=30,
        log=work.parent / "log",
    )
    assert outcome.succeeded, log(work)
    assert log(work) == "42\n"


def test_output_is_passed_on_while_it_appears(run: Run) -> None:
    seen: list[tuple[float, bytes]] = []
    run(
        "import time\nprint('one')\ntime.sleep(0.6)\nprint('two')",
        watch=lambda piece: seen.append((time.monotonic(), piece)),
    )
    assert b"".join(piece for _, piece in seen) == b"one\ntwo\n"
    assert seen[-1][0] - seen[0][0] > 0.3


# What must not be possible


def test_the_network_is_empty(run: Run, work: Path) -> None:
    listener = __import__("socket").create_server(("127.0.0.1", 0))
    with listener:
        port = listener.getsockname()[1]
        outcome = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")
        assert outcome.exit_code == 1
        assert "Connection refused" in log(work)  # the run's own loopback, where nobody listens
    outcome = run("import socket\nsocket.create_connection(('192.0.2.1', 80), 2)")
    assert outcome.exit_code == 1
    assert "does not have" in outcome.hint
    outcome = run("import socket\nsocket.getaddrinfo('example.org', 80)")
    assert outcome.exit_code == 1
    assert "network" in outcome.hint


def test_sockets_beyond_the_network_namespace_are_refused(run: Run, work: Path) -> None:
    outcome = run(
        "import socket\n"
        "for family in (40, 38, 17):\n"
        "    try:\n"
        "        socket.socket(family, socket.SOCK_STREAM if family != 38 else socket.SOCK_SEQPACKET)\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    assert outcome.succeeded
    assert log(work).split() == ["97", "97", "97"]


def test_an_undeclared_file_does_not_exist_and_the_hint_names_the_flag(run: Run, work: Path) -> None:
    outcome = run("open('data/secret.csv')")
    assert outcome.exit_code == 1
    assert outcome.hint == "the script opened data/secret.csv, which was not declared; add --data data/secret.csv"
    assert run("import os\nprint(os.listdir('data'))").succeeded
    assert log(work) == "['train.csv']\n"


def test_host_files_and_keys_do_not_exist(run: Run, work: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("PRIVATE")
    candidates = [
        str(key),
        str(work / "data" / "secret.csv"),
        "/etc/shadow",
        "/etc/hostname",
        str(Path.home() / ".ssh"),
    ]
    outcome = run(f"import os\nprint([path for path in {candidates!r} if os.path.exists(path)])")
    assert outcome.succeeded
    assert log(work) == "[]\n"


def test_nothing_but_the_output_can_be_written(run: Run, work: Path) -> None:
    before = (work / "data" / "train.csv").read_bytes()
    outcome = run(
        "import sys\n"
        "left = ['notes', 'train.py', 'data/train.csv', '/custody/in/train.csv', '/custody/x', '/x', '/etc/x',\n"
        "        '/usr/x',\n"
        f"        '/custody/site/sitecustomize.py', {str(work / 'x')!r}]\n"
        "if not sys.prefix.startswith('/tmp/'):  # there it would be the run's own scratch, gone afterwards\n"
        "    left.append(sys.prefix + '/x')\n"
        "for path in left:\n"
        "    try:\n"
        "        open(path, 'w').write('x')\n"
        "        print('WROTE', path)\n"
        "    except OSError:\n"
        "        pass\n"
        "open('notes', 'w')\n"
    )
    assert "WROTE" not in log(work)
    assert (
        outcome.hint
        == "the script wrote to notes outside its output folder; write below model, or name another folder with --out"
    )
    assert (work / "data" / "train.csv").read_bytes() == before
    assert not (work / "notes").exists()
    assert not (Path(sys.prefix) / "x").exists()


def test_a_link_in_the_output_folder_leads_nowhere(run: Run, work: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    (work / "model").mkdir()
    (work / "model" / "link").symlink_to(target)
    run("open('model/link', 'w').write('x')")  # inside, the link leads to the run's own empty /tmp
    assert target.read_text() == "untouched"
    (work / "model" / "other").symlink_to("/usr/x")
    assert run("open('model/other', 'w').write('x')").exit_code == 1


def test_the_kernels_switches_cannot_be_turned(run: Run, work: Path) -> None:
    """As root the files of /proc/sys belong to the run's own user; core_pattern alone would be a way out."""
    outcome = run(
        "import os\n"
        "for folder, folders, names in os.walk('/proc'):\n"
        "    if folder == '/proc':\n"
        "        folders[:] = [name for name in folders if not name.isdigit() and 'self' not in name]\n"
        "    for name in names:\n"
        "        try:\n"
        "            os.close(os.open(f'{folder}/{name}', os.O_WRONLY))\n"
        "            print(f'{folder}/{name}')\n"
        "        except OSError:\n"
        "            pass\n"
        "assert os.path.exists('/proc/sys/kernel/core_pattern')\n"
    )
    assert outcome.succeeded, log(work)
    assert log(work) == ""


def test_secrets_of_the_host_environment_are_absent(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    run("import os\nprint(dict(os.environ))\nprint(open('/proc/1/environ').read())")
    assert "hunter2" not in log(work)
    assert "CUSTODY_SEED" in log(work)


def test_other_processes_are_invisible(run: Run, work: Path) -> None:
    outcome = run("import os\nprint([int(name) for name in os.listdir('/proc') if name.isdigit()])")
    assert outcome.succeeded
    assert max(eval(log(work))) < 10
    assert str(os.getpid()) not in log(work).strip("[]\n").split(", ")


CALLS = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
for name, number, *arguments in (
    ("io_uring_setup", 425, 8, ctypes.create_string_buffer(256)),
    ("unshare", 272 if x86 else 97, 0x10000000),
    ("ptrace", 101 if x86 else 117, 0, 0, 0, 0),
    ("bpf", 321 if x86 else 280, 0, 0, 0),
    ("mount", 165 if x86 else 40, 0, b"/tmp", b"tmpfs", 0, 0),
    ("keyctl", 250 if x86 else 219, 0, -3, 0),
    ("userfaultfd", 323 if x86 else 282, 0),
    ("perf_event_open", 298 if x86 else 241, 0, 0, 0, 0, 0),
    ("process_vm_readv", 310 if x86 else 270, 1, 0, 0, 0, 0, 0),
    ("clone_newuser", 56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0),
    ("clone3", 435, 0, 0),
):
    result = libc.syscall(number, *arguments)
    print(name, result, ctypes.get_errno())
"""


def test_calls_around_the_seal_are_refused(run: Run, work: Path) -> None:
    assert run(CALLS).succeeded, log(work)
    answers = {line.split()[0]: line.split()[1:] for line in log(work).splitlines()}
    assert answers.pop("clone3") == ["-1", "38"]
    assert len(answers) == 10
    assert all(answer == ["-1", "1"] for answer in answers.values()), answers


def test_without_the_filter_such_a_call_would_go_through(sandbox: Bubblewrap, work: Path) -> None:
    """The must-catch side of the test above: what is refused there is the filter's doing."""
    script = work / "calls.py"
    script.write_text(CALLS)
    outcome = Bubblewrap(seal=b"").run(
        [sys.executable, "calls.py"],
        mounts=layout(work, [("calls.py", sha256(script))], []),
        output=work / "model",
        work=work,
        environment={},
        time_limit=30,
        log=work.parent / "log",
    )
    assert outcome.exit_code in {0, 139, 128 + signal.SIGKILL}
    assert "ptrace 0" in log(work) or "userfaultfd -1 1" not in log(work)


def test_no_privilege_is_held_or_gained(run: Run, work: Path) -> None:
    run("print([line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp:'))])")
    lines = eval(log(work))
    facts = {line.split(":")[0]: line.split(":")[1].strip() for line in lines}
    assert all(int(facts[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"


# How it ends


def test_the_time_limit_ends_grandchildren_too(run: Run, work: Path) -> None:
    marker = f"custody-test-{os.getpid()}-{time.monotonic_ns()}"
    start = time.monotonic()
    outcome = run(
        "import subprocess, sys, time\n"
        "code = 'import os, time; os.setsid(); time.sleep(120)'\n"
        f"subprocess.Popen([sys.executable, '-c', code, {marker!r}])\n"
        "print('started')\n"
        "time.sleep(120)\n",
        time_limit=1.0,
    )
    assert outcome.timed_out
    assert outcome.exit_code == 124
    assert "time limit" in outcome.hint
    assert time.monotonic() - start < 6
    assert "started" in log(work)
    assert not running(marker)


def running(marker: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words:
                found.append(folder.name)
    return found


def test_a_daemon_ends_with_its_run(run: Run, work: Path) -> None:
    marker = f"custody-test-{os.getpid()}-{time.monotonic_ns()}"
    outcome = run(
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import os, time; os.setsid(); time.sleep(120)', {marker!r}])\n"
    )
    assert outcome.succeeded
    assert not running(marker)


def test_a_fork_bomb_is_noticed_and_ended(run: Run, work: Path) -> None:
    # The bomb has a fuse of its own: were the guard missing, it would stop at 3000 processes.
    outcome = run(
        "import os, time\n"
        "for _ in range(3000):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "time.sleep(60)\n",
        time_limit=40.0,
    )
    assert outcome.exit_code not in {0, 124}
    assert "more than 1024 processes" in outcome.hint


def test_the_hosts_processes_are_not_taken_for_the_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert supervise._processes(os.getpid()) == 0
    monkeypatch.setattr(supervise, "PROCESSES", 5)
    assert run("import time\ntime.sleep(0.3)").succeeded
    started = "import subprocess\nfor _ in range(8): subprocess.Popen(['sleep', '9'])\nimport time\ntime.sleep(9)"
    assert "more than 5 processes" in run(started).hint


def test_memory_beyond_its_limit_is_refused(run: Run) -> None:
    outcome = run("x = bytearray(512 * 1024**2)", memory_limit=256 * 1024**2)
    assert outcome.exit_code == 1
    assert "memory" in outcome.hint
    assert run("x = bytearray(64 * 1024**2)", memory_limit=256 * 1024**2).succeeded


def test_an_interrupt_ends_the_run_and_is_passed_on(run: Run) -> None:
    marker = f"custody-test-{os.getpid()}-{time.monotonic_ns()}"

    def interrupt() -> None:
        """Press Ctrl-C once the run is under way: before that, on a busy machine, it would hit the test itself."""
        deadline = time.monotonic() + 30
        while not running(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(
            f"import time\nmarker = {marker!r}\nimport subprocess, sys\n"
            "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', marker])"
        )
    timer.join()
    assert not running(marker)


def test_a_failing_watcher_does_not_leave_the_run_behind(run: Run) -> None:
    marker = f"custody-test-{os.getpid()}-{time.monotonic_ns()}"

    def refuse(_: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(
            f"import subprocess, sys\nprint('x')\n"
            f"subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', {marker!r}])",
            watch=refuse,
        )
    assert not running(marker)


def test_the_run_ends_when_custody_is_killed(work: Path) -> None:
    marker = f"custody-test-{os.getpid()}-{time.monotonic_ns()}"
    script = (
        "import sys; from pathlib import Path; from custody.adapters.bubblewrap import Bubblewrap\n"
        f"w = Path({str(work)!r})\n"
        f"Bubblewrap().run([sys.executable, '-c', 'import time; print(1); time.sleep(60)', {marker!r}],"
        " mounts=[], output=w / 'o',"
        " work=w, environment={}, time_limit=60, log=w / 'log', watch=lambda _: print('begun', flush=True))\n"
    )
    custody = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert custody.stdout is not None
    assert custody.stdout.readline() == b"begun\n"
    custody.kill()
    custody.wait()
    custody.stdout.close()
    deadline = time.monotonic() + 5
    while running(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(marker)


def test_codes_and_signals_come_through(run: Run) -> None:
    assert run("raise SystemExit(7)").exit_code == 7
    assert run("import os\nos.kill(os.getpid(), 9)").exit_code == 137


def test_a_program_that_is_absent_inside_is_named(sandbox: Bubblewrap, work: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_text("#!/no/such/interpreter\n")
    odd.chmod(0o755)
    with pytest.raises(InvalidInput, match="cannot be started"):
        sandbox.run([str(odd)], mounts=[], output=work / "o", work=work, environment={}, time_limit=9, log=work / "log")


def test_an_input_swapped_after_hashing_stops_the_run(sandbox: Bubblewrap, work: Path) -> None:
    data = work / "data" / "train.csv"
    digest = sha256(data)
    data.write_text("a,b\n6,6\n")
    with pytest.raises(Tampered):
        sandbox.run(
            ["true"],
            mounts=[Mount(data, "data/train.csv", digest)],
            output=work / "o",
            work=work,
            environment={},
            time_limit=9,
            log=work / "log",
        )


def test_an_input_swapped_during_the_run_is_not_what_the_script_reads(run: Run, work: Path) -> None:
    data = work / "data" / "train.csv"
    mounts = [*layout(work, [], [(data, sha256(data))])]
    script = work / "train.py"
    code = (
        "import time\nprint('begun')\n"
        "while not __import__('os').path.exists('model/go'): time.sleep(0.01)\n"
        "print(open('data/train.csv').read())"
    )
    script.write_text(code)

    def swap(piece: bytes) -> None:
        if b"begun" in piece:
            data.write_text("a,b\n6,6\n")
            (work / "model" / "go").touch()

    outcome = run(code, mounts=[*mounts, Mount(script, "train.py")], watch=swap)
    assert outcome.succeeded, log(work)
    assert "1,2" in log(work)
    assert "6,6" not in log(work)


def test_nothing_is_left_behind(run: Run, work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    handles = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert run("pass").succeeded
    assert list(scratch.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def test_two_runs_at_once_do_not_disturb_each_other(sandbox: Bubblewrap, tmp_path: Path) -> None:
    results: dict[int, tuple[Outcome, str]] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        code = f"import time; time.sleep(0.2); print({number}); raise SystemExit({number})"
        outcome = sandbox.run(
            [sys.executable, "-c", code],
            mounts=[],
            output=folder / "o",
            work=folder,
            environment={},
            time_limit=30,
            log=folder / "log",
        )
        results[number] = (outcome, (folder / "log").read_text())

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: (outcome.exit_code, text) for number, (outcome, text) in results.items()} == {
        number: (number, f"{number}\n") for number in range(4)
    }
    assert all(outcome.cpu_seconds > 0.005 for outcome, _ in results.values())


# Reproducibility

TRAIN = """
import joblib, numpy as np, random
from sklearn.linear_model import SGDClassifier
X = np.random.default_rng().normal(size=(300, 4))
y = (X[:, 0] + np.random.normal(size=300) > 0).astype(int)
order = list(range(len(X))); random.shuffle(order)
joblib.dump(SGDClassifier().fit(X[order], y[order]), "model/model.joblib")
"""

DRAW = """
import numpy as np, random, os
print(random.random(), np.random.rand(), np.random.default_rng().random(), np.random.default_rng().random(), hash("a"))
"""


def test_a_model_trained_without_a_seed_is_the_same_bytes_again(run: Run, work: Path) -> None:
    digests = set()
    for _ in range(2):
        assert run(TRAIN, environment={"CUSTODY_SEED": "3"}).succeeded, log(work)
        digests.add(sha256(work / "model" / "model.joblib"))
    assert len(digests) == 1


def test_every_generator_follows_the_seed_of_the_run(run: Run, work: Path) -> None:
    drawn = []
    for seed in ("3", "3", "4"):
        assert run(DRAW, environment={"CUSTODY_SEED": seed}).succeeded, log(work)
        drawn.append(log(work).split())
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[0], drawn[2], strict=True))
    assert len(set(drawn[0])) == 5  # and two calls do not draw the same


def test_without_a_seed_nothing_is_fixed(run: Run, work: Path) -> None:
    drawn = []
    for _ in range(2):
        assert run(DRAW, environment={}).succeeded
        drawn.append(log(work).split()[:3])
    assert drawn[0] != drawn[1]


def test_a_seed_in_the_script_wins(run: Run, work: Path) -> None:
    script = (
        "import random\nimport numpy as np\nrandom.seed(1)\nprint(random.random(), np.random.default_rng(1).random())"
    )
    said = set()
    for seed in ("3", "4"):
        assert run(script, environment={"CUSTODY_SEED": seed}).succeeded
        said.add(log(work))
    assert len(said) == 1


ORDINARY = """
import hashlib, os, sys
from pathlib import Path
from custody.adapters.bubblewrap import detect
from custody.core.sandbox import layout
work = Path(sys.argv[1])
sandbox = detect()
assert sandbox.describe().kind == "bubblewrap", sandbox.describe().detail
digest = hashlib.sha256((work / "t.py").read_bytes()).hexdigest()
outcome = sandbox.run([sys.executable, "t.py"], mounts=layout(work, [("t.py", digest)], []), output=work / "model",
                      work=work, environment={}, time_limit=30, log=work / "log")
assert outcome.succeeded, (work / "log").read_text()
"""


def test_an_ordinary_user_can_seal_too() -> None:
    """An ordinary user shows it by every other test here; root becomes one for this test."""
    python, source = Path("/usr/bin/python3"), Path(__file__).parents[2] / "src"
    if os.geteuid() != 0:
        pytest.skip("not root: every other test here is this one")
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    able = f"import sys; sys.path.insert(0, {str(source)!r}); assert sys.version_info >= (3, 11)"
    able += "; import custody.adapters.bubblewrap"
    if (
        not python.exists()
        or subprocess.run([python, "-c", able], check=False, capture_output=True, **nobody).returncode
    ):
        pytest.skip("another user cannot read this checkout, or has no Python 3.11")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "t.py").write_text("print(__import__('os').getuid())\nopen('model/x', 'w').write('x')\n")
        os.chown(work, 65534, 65534)
        environment = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}
        subprocess.run([python, "-c", ORDINARY, folder], check=True, env=environment, **nobody)
        assert (work / "log").read_text() == "1000\n"
        assert (work / "model" / "x").stat().st_uid == 65534

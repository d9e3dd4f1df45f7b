from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pickle
import random
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import scan_corpus
import scan_museum
import scan_museum_files
import scan_payloads as payloads

from custody.checks.artifact import _allowlist, _streams
from custody.checks.artifact._survey import Limits
from custody.checks.artifact.scan import names_used, scan, scan_files
from custody.checks.target import Target, Unmeasurable
from custody.core.measure import Finding, Result

EXHIBITS = [*scan_museum.pickles(), *scan_museum_files.files()]


def scanned(folder: Path, content: bytes, name: str = "model.bin", **limits: Any) -> Result:
    (folder / name).write_bytes(content)
    return scan_files({name: folder / name}, limits=Limits(**limits) if limits else None)


def value(result: Result, name: str) -> float:
    found = next(measure.value for measure in result.measures if measure.name == name)
    assert found is not None
    return found


def words(findings: list[Finding], severity: str) -> str:
    return "\n".join(f"{finding.what} {finding.why}" for finding in findings if finding.severity == severity)


# -- ordinary files --------------------------------------------------------------------------------


def test_ordinary_models_and_files_raise_no_alarm(tmp_path: Path) -> None:
    count = scan_corpus.build(tmp_path, wide=False)
    files = {path.name: path for path in tmp_path.rglob("*")}
    result = scan_files(files)
    assert count == len(files) > 200
    assert list(result.findings) == []
    assert [measure.value for measure in result.measures] == [0, 0, 0]
    assert {measure.n for measure in result.measures} == {count}


def test_every_estimator_of_scikit_learn_is_known(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = scan_corpus.every_estimator(fit=False)
    files = {}
    for name, model in made.items():
        files[name] = tmp_path / name
        files[name].write_bytes(pickle.dumps(model))
    assert len(files) > 150
    assert [finding.what for finding in scan_files(files).findings] == []


# -- the museum ------------------------------------------------------------------------------------


def test_the_museum_covers_every_family() -> None:
    assert len(EXHIBITS) > 100
    families = {
        "unknown gadget",
        "opcode evasion",
        "dotted names and resolvers",
        "import redirection",
        "state tampering",
        "nested pickle",
        "carrier and container",
        "several streams",
        "disguise and polyglot",
        "format-native",
        "malformed",
        "dos",
        "path traversal",
        "latent",
    }
    assert {exhibit.family for exhibit in EXHIBITS} == families
    assert len({exhibit.name for exhibit in EXHIBITS}) == len(EXHIBITS)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_each_exhibit_is_caught(exhibit: Any, tmp_path: Path) -> None:
    result = scanned(tmp_path, exhibit.content)
    assert exhibit.says in words(list(result.findings), exhibit.severity)
    assert value(result, "critical_findings" if exhibit.severity == "critical" else "warnings") > 0


@pytest.mark.parametrize("exhibit", [one for one in EXHIBITS if one.load], ids=lambda exhibit: exhibit.name)
def test_each_exhibit_really_acts_when_it_is_loaded(exhibit: Any, tmp_path: Path) -> None:
    out = io.StringIO()
    made: Any = None
    with contextlib.redirect_stdout(out), contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn only warns about states of another version
        made = exhibit.load(exhibit.content, tmp_path)
    acted = payloads.WORD in out.getvalue() or _foreign(made)
    assert acted, f"nothing happened: {out.getvalue()!r} {made!r}"


def _foreign(made: Any) -> bool:
    """What no ordinary model file gives back: the current folder, an open door, a reach into a module."""
    if isinstance(made, str):
        return made in (str(Path.cwd()), "absolute")
    if isinstance(made, dict):
        return "numpy" in str(made.get("__name__")) or made.get("A") == "N"  # a module's globals; `this.d`
    return (
        isinstance(made, zipfile.ZipFile)
        or made is object
        or made == 1
        or type(made).__module__ == "trace"
        or (isinstance(made, bytearray) and len(made) > 1 << 24)
    )


@pytest.mark.parametrize("name", scan_museum_files.unreadable())
def test_what_cannot_be_read_is_never_clean(name: str, tmp_path: Path) -> None:
    result = scanned(tmp_path, scan_museum_files.unreadable()[name])
    assert value(result, "unread_files") == 1
    assert any(finding.severity == "info" and "not interpreted" in finding.what for finding in result.findings)


@pytest.mark.parametrize("suffix", ["txt", "csv", "png", "json", "safetensors", "onnx", "h5", "md", ""])
def test_the_name_does_not_matter(suffix: str, tmp_path: Path) -> None:
    assert value(scanned(tmp_path, payloads.PRINT, f"weights.{suffix}"), "critical_findings") >= 1


def test_a_finding_names_the_callable_the_opcode_and_the_offset(tmp_path: Path) -> None:
    result = scanned(tmp_path, b"\x80\x02K\x010" + payloads.call("os", "getcwd") + b".", "m.pkl")
    (finding,) = result.findings
    assert finding.what == "pickle imports os.getcwd"
    assert finding.where == "m.pkl @ byte 5 (GLOBAL)"
    assert "run commands" in finding.why


def test_nothing_is_executed_by_scanning(tmp_path: Path) -> None:
    watched: list[str] = []

    def hook(event: str, args: Any) -> None:
        if watching and event in (
            "pickle.find_class",
            "exec",
            "os.system",
            "subprocess.Popen",
            "socket.connect",
            "compile",
        ):
            watched.append(event)

    watching = False
    sys.addaudithook(hook)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for exhibit in EXHIBITS:
            (tmp_path / exhibit.name).write_bytes(exhibit.content)
        scan_files({"first": tmp_path / "npy"})
        watching = True
        scan_files({exhibit.name: tmp_path / exhibit.name for exhibit in EXHIBITS})
        watching = False
    assert out.getvalue() == ""
    assert set(watched) <= {"compile"}  # numpy headers are literals, parsed by the abstract syntax tree


# -- robustness ------------------------------------------------------------------------------------


def test_flipped_bytes_never_raise_and_never_hang(tmp_path: Path) -> None:
    dice = random.Random(20)
    scan_corpus.build(tmp_path / "good", wide=False)
    seeds = [exhibit.content for exhibit in EXHIBITS if len(exhibit.content) < 50_000]
    seeds += [path.read_bytes() for path in sorted((tmp_path / "good").rglob("*")) if path.stat().st_size < 20_000]
    began = time.process_time()
    slowest = 0.0
    for turn in range(1500):
        raw = bytearray(dice.choice(seeds) or b"x")
        for _ in range(dice.randint(1, 6)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        if dice.random() < 0.3:
            del raw[dice.randrange(len(raw)) :]
        before = time.process_time()
        result = scanned(tmp_path, bytes(raw), f"turn{turn % 7}", seconds=20)
        slowest = max(slowest, time.process_time() - before)
        assert all(measure.value is not None for measure in result.measures)
    assert slowest < 5
    assert time.process_time() - began < 120


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        ({"opcodes": 50_000}, b"\x80\x02" + b"N0" * 60_000 + b"N."),
        ({"members": 10}, payloads.make_zip({f"{i}.txt": b"x" for i in range(20)})),
        ({"unpacked_bytes": 10_000}, gzip.compress(os.urandom(50_000))),
        ({"seconds": 0.0}, b"\x80\x02" + b"N0" * 60_000 + b"N."),
    ],
)
def test_reaching_a_limit_is_reported(limits: dict[str, Any], content: bytes, tmp_path: Path) -> None:
    result = scanned(tmp_path, content, **limits)
    assert value(result, "unread_files") == 1
    assert "reading was stopped" in words(list(result.findings), "critical")
    generous = scanned(tmp_path, content)
    assert "reading was stopped" not in words(list(generous.findings), "critical")


def test_a_million_opcodes_take_seconds(tmp_path: Path) -> None:
    began = time.process_time()
    result = scanned(tmp_path, pickle.dumps([f"name {i}" for i in range(400_000)]))
    assert value(result, "critical_findings") == 0
    assert time.process_time() - began < 10


def test_array_bytes_are_stepped_over(tmp_path: Path) -> None:
    import joblib
    import numpy as np

    joblib.dump({"w": np.zeros(4_000_000), "v": np.ones(2)}, tmp_path / "large.joblib")
    size = (tmp_path / "large.joblib").stat().st_size
    read = 0
    from custody.checks.artifact import scan as module

    class Counting(module.File):
        def read(self, start: int, count: int) -> bytes:
            nonlocal read
            found = super().read(start, count)
            read += len(found)
            return found

    original = module.File
    module.File = Counting  # type: ignore[misc]
    try:
        result = scan_files({"large.joblib": tmp_path / "large.joblib"})
    finally:
        module.File = original  # type: ignore[misc]
    assert [measure.value for measure in result.measures] == [0, 0, 0]
    assert read < size / 20


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.pkl").write_bytes(pickle.dumps(1))
    (tmp_path / "link.pkl").symlink_to(tmp_path / "real.pkl")
    os.mkfifo(tmp_path / "pipe")
    result = scan_files({name: tmp_path / name for name in ("link.pkl", "pipe", "missing")})
    assert value(result, "unread_files") == 3
    assert value(scan_files({"real": tmp_path / "real.pkl"}), "unread_files") == 0


def test_no_files_cannot_be_measured() -> None:
    with pytest.raises(Unmeasurable):
        scan_files({})
    with pytest.raises(Unmeasurable):
        scan(Target())


def test_findings_are_counted_once_per_name_and_file(tmp_path: Path) -> None:
    twice = b"\x80\x02" + payloads.GETCWD + b"0" + payloads.GETCWD + b"."
    assert value(scanned(tmp_path, twice), "critical_findings") == 1
    both = b"\x80\x02" + payloads.GETCWD + b"0" + payloads.call("builtins", "print") + b"."
    assert value(scanned(tmp_path, both), "critical_findings") == 2


def test_python_beside_a_model_is_pointed_out(tmp_path: Path) -> None:
    result = scanned(tmp_path, b"import torch\n", "modeling.py")
    assert "Python source" in words(list(result.findings), "warning")
    assert value(scanned(tmp_path, b"import torch is written here\n", "notes.md"), "warnings") == 0


def test_harmless_neighbours_of_exhibits_stay_silent(tmp_path: Path) -> None:
    harmless = {
        "onnx": payloads.onnx(),
        "gguf": payloads.gguf("{% for m in messages %}{{ m.role }}{% endfor %}"),
        "tensors": payloads.tensors({"a": payloads.floats(0, 8), "b": payloads.floats(8, 16)}, 16),
        "zip": payloads.make_zip({"a.txt": b"x", "b/c.json": b"{}"}),
        "tar": payloads.make_tar((tarfile.TarInfo("a.txt"), b"x")),
        "estimator": payloads.estimator_with({"C": b"K\x01"}),
        "yaml": b"python: 3\nname: !custom x\n",
        "xml": b'<?xml version="1.0"?><PMML></PMML>',
    }
    for name, content in harmless.items():
        result = scanned(tmp_path, content, name)
        assert [finding.what for finding in result.findings] == [], name


# -- guards that other guards would cover ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x02" + payloads.name("numpy", "ndarray") + b"K\x05\x85\x81.", "makes an instance of numpy.ndarray"),
        (b"\x80\x02" + payloads.call("sklearn.svm._classes", "SVC") + b".", "calls sklearn.svm._classes.SVC"),
        (
            b"\x80\x02" + payloads.call("datetime", "date", b"C\x04\x07\xe8\x01\x01") + b"K\x01a.",
            "puts items into datetime.date",
        ),
        (b"\x80\x02Vid\nQ.", "persistent id"),
        (gzip.compress(pickle.dumps(list(range(9))), mtime=0)[:-12], "cut short"),
        (payloads.PRINT + payloads.make_zip({"a.txt": b"x"}), "pickle and a zip archive at once"),
        (payloads.tar_polyglot(), "pickle and a tar archive at once"),
    ],
)
def test_each_guard_speaks_for_itself(content: bytes, says: str, tmp_path: Path) -> None:
    assert says in words(list(scanned(tmp_path, content).findings), "critical")


def test_a_partial_of_a_partial_is_undetermined(tmp_path: Path) -> None:
    inner = payloads.call("functools", "partial", payloads.name("numpy", "absolute"))
    outer = b"\x80\x02" + inner + b"(" + inner + b")}Ntb."
    assert "wraps something undetermined" in words(list(scanned(tmp_path, outer).findings), "critical")
    plain = b"\x80\x02" + inner + b"(" + payloads.name("numpy", "absolute") + b")}Ntb."
    assert list(scanned(tmp_path, plain).findings) == []


def test_an_oversized_header_is_refused_although_the_file_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((150_000_000).to_bytes(8, "little") + b"{")
    os.truncate(path, 200_000_000)
    result = scan_files({"model.safetensors": path})
    assert "announces 150000000 bytes" in words(list(result.findings), "critical")


def test_one_name_in_two_streams_is_one_finding(tmp_path: Path) -> None:
    stream = b"\x80\x02" + payloads.GETCWD + b"."
    assert value(scanned(tmp_path, stream + stream), "critical_findings") == 1


# -- large streams, growing the allowlist --------------------------------------------------------------


def test_streams_too_large_to_hold_are_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_streams, "KEPT", 1000)
    model = [f"name {i}" for i in range(60_000)]
    clean = gzip.compress(pickle.dumps(model))
    assert [measure.value for measure in scanned(tmp_path, clean).measures] == [0, 0, 0]
    both = gzip.compress(pickle.dumps(model) + payloads.PRINT)
    assert "pickle imports builtins.print" in words(list(scanned(tmp_path, both).findings), "critical")
    for cut in (clean[:-2000], clean[:5000] + b"\xff" * 50 + clean[5050:]):
        assert value(scanned(tmp_path, cut), "critical_findings") > 0


def test_the_allowlist_learns_from_trusted_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x02" + payloads.call("mylib.models", "Model") + b"}b.")
    found = names_used(tmp_path / "model.pkl")
    assert found == {("mylib.models", "Model", "v"), ("mylib.models", "Model", "c"), ("mylib.models", "Model", "b")}
    monkeypatch.setattr(_allowlist, "_DATA", tmp_path / "list.json")
    assert _allowlist.learn(found, "mylib 1.0") == 1
    assert json.loads((tmp_path / "list.json").read_text()) == {
        "origin": ["mylib 1.0"],
        "names": {"mylib.models": {"Model": "bcv"}},
    }


def test_the_allowlist_holds_nothing_that_runs_code() -> None:
    names = json.loads(Path(_allowlist.__file__).with_name("_allowlist.json").read_text())["names"]
    tops = {module.split(".")[0] for module in names}
    assert not tops & {
        "os",
        "posix",
        "subprocess",
        "sys",
        "importlib",
        "runpy",
        "operator",
        "types",
        "pickle",
        "__main__",
    }
    harmless = "bool bytearray bytes complex dict float frozenset getattr int list object range set slice str"
    assert set(names["builtins"]) <= set(harmless.split())
    assert set(names["functools"]) == {"partial"}
    assert not {"memmap", "load", "fromfile", "loadtxt", "save"} & set(names["numpy"])

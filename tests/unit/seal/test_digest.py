from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.errors import CustodyError, InvalidInput, NotPermitted, Tampered, Unavailable
from custody.seal import digest as module
from custody.seal.digest import (
    Change,
    FileDigest,
    Manifest,
    copy_verified,
    describe,
    fingerprints,
    verify,
    walk,
)
from custody.seal.files import Limits, sources

HEX = "0" * 64


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 20_000)  # five pieces
    (folder / "sub" / "labels.json").write_text('{"0": "no", "1": "yes"}')
    (folder / "sub.txt").write_text("")
    (folder / "Ünïcode name.txt").write_text("x")
    return folder


def test_the_digest_is_that_of_coreutils(model: Path) -> None:
    manifest = walk(model)
    names = [file.path for file in manifest.files]
    listing = subprocess.run(["sha256sum", *names], cwd=model, capture_output=True, check=True).stdout
    assert manifest.text().encode() == listing
    assert manifest.sha256 == hashlib.sha256(listing).hexdigest()
    assert names == sorted(names, key=str.encode)
    assert subprocess.run(["sha256sum", "-c", "--strict"], cwd=model, input=listing, check=False).returncode == 0


def test_the_same_bytes_have_the_same_digest_elsewhere(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "elsewhere" / "other name")
    assert walk(tmp_path / "elsewhere" / "other name") == walk(model)


def test_one_file_goes_by_its_own_name(model: Path) -> None:
    manifest = walk(model / "weights.bin")
    assert [(file.path, file.size) for file in manifest.files] == [("weights.bin", 256 * 20_000)]
    assert manifest.subject("m").sha256 == manifest.sha256


def _flip(folder: Path) -> None:
    raw = bytearray((folder / "weights.bin").read_bytes())
    raw[3_000_000] ^= 1
    (folder / "weights.bin").write_bytes(raw)


CHANGES: dict[str, tuple[Callable[[Path], object], list[Change]]] = {
    "flip": (_flip, [Change("changed", "weights.bin")]),
    "add": (lambda folder: (folder / "sub/evil.py").write_text("x"), [Change("added", "sub/evil.py")]),
    "remove": (lambda folder: (folder / "sub.txt").unlink(), [Change("missing", "sub.txt")]),
    "rename": (
        lambda folder: (folder / "sub.txt").rename(folder / "s.txt"),
        [Change("added", "s.txt"), Change("missing", "sub.txt")],
    ),
    "cut": (lambda folder: os.truncate(folder / "sub/labels.json", 5), [Change("changed", "sub/labels.json")]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_is_named(model: Path, tmp_path: Path, kind: str) -> None:
    recorded = walk(model)
    assert verify(model, recorded) == []
    change, expected = CHANGES[kind]
    change(model)
    assert verify(model, recorded) == expected
    assert walk(model).sha256 != recorded.sha256
    with pytest.raises(Tampered, match=expected[0].path):
        copy_verified(model, tmp_path / "copy", recorded)
    assert not (tmp_path / "copy").exists()


def test_an_emptied_folder_misses_everything(model: Path) -> None:
    recorded = walk(model)
    for path in list(model.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert {change.kind for change in verify(model, recorded)} == {"missing"}


def test_a_copy_holds_the_very_bytes_and_is_private(model: Path, tmp_path: Path) -> None:
    recorded = walk(model)
    copy = tmp_path / "copy"
    assert copy_verified(model, copy, recorded) == recorded == copy_verified(model, tmp_path / "second", None)
    assert walk(copy) == recorded
    assert copy.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in copy.rglob("*") if path.is_file()} == {0o400}


def test_a_copy_goes_into_a_fresh_folder_only(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    copy_verified(model, tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700
    with pytest.raises(InvalidInput, match="not empty"):
        copy_verified(model, tmp_path / "empty")
    assert (tmp_path / "empty" / "weights.bin").exists()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="folder of its own"):
        copy_verified(model, tmp_path / "link")


def test_a_file_written_while_it_is_copied_is_noticed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = walk(model)
    real = module.write_all

    def swap(descriptor: int, data: memoryview) -> None:
        real(descriptor, data)
        if len(data) == 1024 * 1024:
            with (model / "weights.bin").open("r+b") as file:
                file.seek(5_000_000)
                file.write(b"?")

    monkeypatch.setattr(module, "write_all", swap)
    with pytest.raises(Tampered):
        copy_verified(model, tmp_path / "copy", recorded)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_grows_or_shrinks_while_it_is_read_is_noticed(model: Path) -> None:
    for size in (10, 9_000_000):
        stream = next(source for source in sources(model / "weights.bin")).path
        assert stream == "weights.bin"
        reading = sources(model / "weights.bin")
        pieces = next(reading).pieces()
        next(pieces)
        os.truncate(model / "weights.bin", size)
        with pytest.raises(Tampered, match="changed while"):
            list(pieces)
        reading.close()
        _flip_back(model)


def test_a_file_written_at_its_size_while_it_is_read_is_noticed(model: Path) -> None:
    reading = sources(model / "weights.bin")
    pieces = next(reading).pieces()
    next(pieces)
    with (model / "weights.bin").open("r+b") as file:
        file.write(b"already read")
    with pytest.raises(Tampered, match="changed while"):
        list(pieces)
    reading.close()


@pytest.mark.parametrize("path", ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_a_size_that_is_not_true_is_noticed(path: str) -> None:
    if not Path(path).exists():
        pytest.skip("this system has no such file")
    with pytest.raises((InvalidInput, Tampered)):
        walk(Path(path))


def _flip_back(model: Path) -> None:
    (model / "weights.bin").write_bytes(bytes(range(256)) * 20_000)


def _meddle(model: Path, after: str, act: Callable[[], object]) -> None:
    """Read the whole folder, and do something once the file `after` was read."""
    for source in sources(model):
        list(source.pieces())
        if source.path == after:
            act()


def test_files_that_come_or_go_while_a_folder_is_read_are_noticed(model: Path) -> None:
    _meddle(model, "sub.txt", lambda: None)
    with pytest.raises(Tampered, match="came or went"):
        _meddle(model, "sub/labels.json", lambda: (model / "sub" / "late").write_text("late"))
    with pytest.raises(Tampered, match="came or went"):
        _meddle(model, "weights.bin", (model / "sub.txt").unlink)


def test_a_file_swapped_for_a_link_while_it_is_read_is_noticed(model: Path) -> None:
    def swap() -> None:
        (model / "weights.bin").unlink()
        (model / "weights.bin").symlink_to("/etc/hostname")

    with pytest.raises(Tampered, match="replaced"):
        _meddle(model, "sub.txt", swap)


def test_a_folder_swapped_for_a_link_while_it_is_read_is_noticed(model: Path, tmp_path: Path) -> None:
    reading = sources(model)
    assert next(reading).path == "sub.txt"
    shutil.move(model / "sub", tmp_path / "away")
    (model / "sub").symlink_to(tmp_path / "away")
    with pytest.raises(Tampered, match="replaced"):
        list(reading)


def _link(folder: Path) -> None:
    (folder / "sub" / "odd").symlink_to("/etc/passwd")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(folder / "sub" / "odd"))


def _named(name: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "sub" / os.fsdecode(name)).write_text("x")


ODD: dict[str, Callable[[Path], object]] = {
    "a link to a file": _link,
    "a link to a folder": lambda folder: (folder / "sub/odd").symlink_to("/tmp"),
    "a dangling link": lambda folder: (folder / "sub/odd").symlink_to("nowhere"),
    "a pipe": lambda folder: os.mkfifo(folder / "sub/odd"),
    "a socket": _socket,
    "a line break": _named("a\nb"),
    "a backslash": _named("a\\b"),
    "a control character": _named("a\x1b[31mb"),
    "reversed text": _named("a\u202eb"),
    "not UTF-8": _named(b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_no_manifest_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    (tmp_path / "m" / "good.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    recorded = walk(Path("m"))
    ODD[kind](Path("m"))
    with pytest.raises(InvalidInput, match=r"odd|cannot be recorded"):
        walk(Path("m"))
    with pytest.raises(Tampered, match="not what was recorded"):
        verify(Path("m"), recorded)
    with pytest.raises(Tampered, match="not what was recorded"):
        copy_verified(Path("m"), Path("copy"), recorded)
    with pytest.raises(InvalidInput):
        copy_verified(Path("m"), Path("copy"))
    assert not Path("copy").exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [("Data.csv", "data.csv"), ("a/X/y", "a/x/z"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301"), ("K", "\u212a")],
)
def test_names_that_some_disks_confuse_are_refused(tmp_path: Path, one: str, other: str) -> None:
    for name in (one, other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(InvalidInput, match="same name"):
        walk(tmp_path)
    (tmp_path / other).unlink()
    assert len(walk(tmp_path).files) == 1


@pytest.mark.parametrize("name", ["missing", "missing/deeper", "nul\0byte"])
def test_a_missing_path_is_invalid(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        walk(tmp_path / name)


def test_an_empty_folder_and_a_link_have_no_digest(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="no files"):
        walk(tmp_path / "empty")
    with pytest.raises(InvalidInput, match="no files"):
        copy_verified(tmp_path / "empty", tmp_path / "copy")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(InvalidInput, match="is a link"):
        walk(tmp_path / "link")
    with pytest.raises(InvalidInput, match="neither"):
        walk(Path("/dev/null"))
    assert walk(tmp_path / "file").files[0].size == 1


def test_limits_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "name").write_text("x")
    assert walk(tmp_path, limits=Limits(files=3, path_bytes=8, depth=2))
    for limits in (Limits(files=2), Limits(path_bytes=7), Limits(depth=1)):
        with pytest.raises(InvalidInput):
            walk(tmp_path, limits=limits)


def test_hard_links_are_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    assert [file.sha256 for file in walk(tmp_path).files] == [hashlib.sha256(b"x").hexdigest()] * 2


def test_fingerprints_notice_a_swap(model: Path) -> None:
    before = fingerprints(model)
    assert list(before) == [file.path for file in walk(model).files]
    assert fingerprints(model) == before
    info = (model / "weights.bin").stat()
    _flip(model)
    os.utime(model / "weights.bin", ns=(info.st_atime_ns, info.st_mtime_ns))
    after = fingerprints(model)
    assert [path for path in before if before[path] != after[path]] == ["weights.bin"]


@pytest.mark.parametrize("path", ["../up", "/root", "a//b", "a/./b", "", "a\nb", "-", "a\\b", "a/../../b", "\ud800"])
def test_a_manifest_refuses_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(InvalidInput):
        Manifest((FileDigest(path, 1, HEX),))


def test_a_manifest_refuses_what_contradicts_itself() -> None:
    for paths in (["a", "a"], ["a", "a/b"], ["A", "a"], []):
        with pytest.raises(InvalidInput):
            Manifest(tuple(FileDigest(path, 1, HEX) for path in paths))
    for broken in (FileDigest("a", 1, "0" * 63), FileDigest("a", -1, HEX), FileDigest("a", 1, HEX.upper() + "\n")):
        with pytest.raises(InvalidInput):
            Manifest((broken,))


def test_a_manifest_survives_json(model: Path) -> None:
    manifest = walk(model)
    assert Manifest.from_json(manifest.to_json()) == manifest
    body = manifest.to_json()
    body["files"][0]["sha256"] = HEX
    with pytest.raises(Tampered):
        Manifest.from_json(body)
    for broken in (
        None,
        [],
        {},
        {"sha256": HEX, "files": [{}]},
        {"sha256": HEX, "files": [{"path": 1, "size": 1, "sha256": HEX}]},
    ):
        with pytest.raises(InvalidInput):
            Manifest.from_json(broken)


def test_changes_are_put_into_words() -> None:
    many = [Change("changed", f"f{number}") for number in range(10)] + [Change("missing", "gone")]
    assert describe(many, most=2) == "changed: f0, f1 and 8 more; missing: gone"


@pytest.mark.parametrize(
    ("number", "to_write", "kind"),
    [
        ("ENOSPC", True, Unavailable),
        ("EROFS", True, Unavailable),
        ("EACCES", True, Unavailable),
        ("EACCES", False, NotPermitted),
        ("EIO", False, Unavailable),
        ("EMFILE", False, Unavailable),
    ],
)
def test_what_the_disk_says_becomes_a_refusal_with_path_and_hint(
    number: str, to_write: bool, kind: type[CustodyError]
) -> None:
    import errno

    from custody.seal.files import refusal

    code = getattr(errno, number)
    error = refusal(OSError(code, os.strerror(code)), "/some/path", to_write=to_write)
    assert type(error) is kind
    assert "/some/path" in error.message
    assert error.hint


def test_a_full_disk_leaves_no_half_copy(model: Path, tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        try:
            copy_verified(model, tmp_path / "copy")
        except Unavailable as error:
            os._exit(7 if "weights.bin" in error.message else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert not (tmp_path / "copy").exists()

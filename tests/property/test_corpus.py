"""Every file of the fuzzers' corpus, once: the sound one is read, each damaged one refused with a reason, at once."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz" / "files.py"


def load() -> Any:
    """Load the fuzzer, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("fuzz_files", FUZZ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


files = load()


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = files.Readers(tmp_path_factory.mktemp("corpus"))
    yield found
    found.close()


@pytest.mark.parametrize("target", files.TARGETS)
def test_the_sound_file_is_read_and_every_damaged_one_refused(target: str, readers: Any) -> None:
    corpus = {path.name: path.read_bytes() for path in files.seeds(target)}
    assert len(corpus) >= 6, sorted(corpus)
    wrong = [name for name, raw in corpus.items() if readers.one_input(target, raw) is not (name == "good")]
    assert wrong == []
    assert ("good" in corpus) is (target != "private_key")


def test_a_reader_that_lets_another_error_out_is_noticed(readers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise KeyError("a traceback")

    monkeypatch.setattr(readers, "json", broken)
    with pytest.raises(KeyError):
        readers.one_input("json", b"{}")


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert sorted(path.name for path in files.CORPUS.iterdir()) == files.TARGETS

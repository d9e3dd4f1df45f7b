"""Other people's tools accept what Custody writes, unmodified, and refuse what was changed.

The tools are real: `model_signing` (OpenSSF), `@sigstore/verify` under node, `sha256sum` and `openssl`. `./x test`
brings them; where one is missing the test says so, and in CI it fails.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.seal.digest import walk
from custody.seal.envelope import Envelope, pae
from custody.seal.keys import PersonKey
from custody.seal.oms import sign_oms
from custody.testing import Life, honest_life

HERE = Path(__file__).parent
TOOLS = Path(sys.executable).parent
WEIGHTS = {"weights.bin": b"\x00\x01" * 5000, "config/model.json": b'{"layers": 3}\n', "README.md": b"a model\n"}


def tool(name: str) -> str:
    """Return the path of a program beside this interpreter or on the PATH."""
    beside = TOOLS / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing; ./x test installs it")
        pytest.skip(f"{name} is not installed; ./x test installs it")
    return found


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return honest_life(tmp_path_factory.mktemp("life"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, body in WEIGHTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def statements(life: Life) -> list[Envelope]:
    """Return one envelope of each kind."""
    first: dict[str, Envelope] = {}
    for _, envelope in life.desk.log.read().rows:
        first.setdefault(envelope.statement.kind, envelope)
    assert kinds.TRAINING_FINISH in first
    return list(first.values())


def key_of(life: Life, envelope: Envelope, path: Path) -> Path:
    actor = life.desk.roster().by_key(envelope.keyid)
    assert actor is not None
    path.write_text(actor.key)
    return path


class TestSigstore:
    """`@sigstore/verify`, the library behind npm's provenance."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        self.node = tool("node")
        if not (HERE / "node_modules" / "@sigstore" / "verify").is_dir():
            if os.environ.get("CI"):
                pytest.fail("the npm packages are missing; ./x test installs them")
            pytest.skip("the npm packages are not installed; ./x test installs them")

    def verify(self, bundle: Path, key: Path) -> subprocess.CompletedProcess[str]:
        return run(self.node, HERE / "verify.mjs", bundle, key)

    def test_it_accepts_a_statement_of_every_kind(self, life: Life, tmp_path: Path) -> None:
        for number, envelope in enumerate(statements(life)):
            bundle = tmp_path / f"{number}.json"
            bundle.write_bytes(envelope.to_bytes())
            answer = self.verify(bundle, key_of(life, envelope, tmp_path / f"{number}.pem"))
            assert (answer.returncode, answer.stdout) == (0, "accepted\n"), answer.stderr

    def test_it_refuses_another_payload_and_another_key(self, life: Life, tmp_path: Path) -> None:
        one, other = statements(life)[:2]
        bundle, key = tmp_path / "swapped.json", key_of(life, one, tmp_path / "one.pem")
        bundle.write_bytes(Envelope(other.payload, one.keyid, one.signature).to_bytes())
        assert self.verify(bundle, key).returncode == 1
        stranger = tmp_path / "stranger.pem"
        stranger.write_text(PersonKey.generate().public)
        bundle.write_bytes(one.to_bytes())
        assert self.verify(bundle, stranger).returncode == 1


class TestModelSigning:
    """`model_signing verify key`, the OpenSSF's tool."""

    def verify(self, model: Path, signature: Path, key: Path) -> subprocess.CompletedProcess[str]:
        program = tool("model_signing")
        return run(program, "verify", "key", model, "--signature", signature, "--public_key", key)

    @pytest.fixture
    def signed(self, model: Path, tmp_path: Path) -> tuple[Path, Path]:
        key = PersonKey.generate()
        signature, public = tmp_path / "model.sig", tmp_path / "key.pem"
        signature.write_bytes(sign_oms(walk(model), "loans", key, key.public))
        public.write_text(key.public)
        return signature, public

    def test_it_accepts_a_models_signature(self, model: Path, signed: tuple[Path, Path]) -> None:
        answer = self.verify(model, *signed)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "Verification succeeded" in answer.stdout

    def test_it_refuses_a_changed_an_added_and_a_missing_file(self, model: Path, signed: tuple[Path, Path]) -> None:
        weights = model / "weights.bin"
        weights.write_bytes(b"\x00\x02" + WEIGHTS["weights.bin"][2:])
        assert self.verify(model, *signed).returncode != 0
        weights.write_bytes(WEIGHTS["weights.bin"])
        (model / "hidden.py").write_text("print(1)\n")
        assert self.verify(model, *signed).returncode != 0
        (model / "hidden.py").unlink()
        (model / "README.md").unlink()
        assert self.verify(model, *signed).returncode != 0

    def test_no_path_is_ignored_that_could_hide_code(self, model: Path, signed: tuple[Path, Path]) -> None:
        payload = json.loads(base64.b64decode(json.loads(signed[0].read_bytes())["dsseEnvelope"]["payload"]))
        assert payload["predicate"]["serialization"]["ignore_paths"] == []

    def test_it_refuses_another_key(self, model: Path, signed: tuple[Path, Path], tmp_path: Path) -> None:
        stranger = tmp_path / "stranger.pem"
        stranger.write_text(PersonKey.generate().public)
        assert self.verify(model, signed[0], stranger).returncode != 0


class TestCoreutils:
    """`sha256sum -c` reads a manifest, and the manifest's own sha256 names the model."""

    def test_it_accepts_and_refuses(self, model: Path, tmp_path: Path) -> None:
        program, manifest, sums = tool("sha256sum"), walk(model), tmp_path / "SHA256SUMS"
        sums.write_text(manifest.text())
        assert run(program, "-c", "--strict", sums, cwd=model).returncode == 0
        assert run(program, sums).stdout.split()[0] == manifest.sha256
        (model / "weights.bin").write_bytes(b"other")
        assert run(program, "-c", "--strict", sums, cwd=model).returncode == 1


class TestOpenssl:
    """`openssl dgst` checks a statement's signature over DSSE's pre-authentication encoding."""

    def test_it_accepts_and_refuses(self, life: Life, tmp_path: Path) -> None:
        program, envelope = tool("openssl"), statements(life)[0]
        message, signature = tmp_path / "message", tmp_path / "signature"
        key = key_of(life, envelope, tmp_path / "key.pem")
        message.write_bytes(pae(envelope.payload))
        signature.write_bytes(envelope.signature)
        words = (program, "dgst", "-sha256", "-verify", key, "-signature", signature)
        assert run(*words, message).stdout == "Verified OK\n"
        message.write_bytes(envelope.payload)
        assert run(*words, message).returncode != 0

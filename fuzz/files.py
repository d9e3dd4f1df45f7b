"""Fuzz every parser of a file or a request that a stranger may hand over: it is read, or refused with a reason.

    python fuzz/files.py [--seconds 10] [--seed 0] [--only TARGET] [--write]

Each target begins from `fuzz/corpus/TARGET/`: files that begin with `good` are read, all others refused. A failure is
anything but a refusal (a traceback), more than a second for one input, or more than 200 MB for all. With --write the
corpus is written anew from what Custody itself writes, and from the damages below.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from custody.adapters.keyring import read_file_keys, read_wrapped_key
from custody.adapters.memory import FileMemory
from custody.adapters.root_key import read_root
from custody.adapters.vault import Vault, read_entry
from custody.adapters.witness_book import FileBook
from custody.adapters.witness_server import WitnessServer, _Handler
from custody.checks.registry import vocabulary
from custody.config import read_config
from custody.core import strictjson
from custody.core.criteria import read_criteria
from custody.core.permission import Rules
from custody.core.statement import Statement
from custody.core.transcript import Recorder, read_transcript
from custody.errors import CustodyError
from custody.gates import access_schema, access_text
from custody.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from custody.ledger.merkle import leaf_hash, prove_consistency, prove_inclusion, root_of
from custody.ledger.note import parse_note
from custody.ledger.proof import Inclusion, read_proof
from custody.ledger.tiles import read_bundle, write_bundle
from custody.ledger.trust import Owner, Root, Trust, read_trust, sign_root, write_trust
from custody.ledger.trust import read_root as read_trust_root
from custody.ledger.witness import Request, Witness
from custody.seal.digest import walk
from custody.seal.envelope import Envelope
from custody.seal.keys import LogKey, PersonKey, canonical_pem, raw_to_text
from custody.seal.request import read_request, write_request
from custody.stages.roots import Proposal, read_proposal, write_proposal
from custody.testing import Life
from custody_verify.__main__ import main as verify

CORPUS = Path(__file__).parent / "corpus"
ORIGIN, START, SEED = "custody.fuzz", "ab" * 32, 7
SECONDS, MEGABYTES = 1.0, 200
SPICE = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\n", b"\r", b"\0", b"\xff", b"=", b"==", b".", b"-1"),
    *(b"null", b"NaN", b"9" * 400, b"1e999", b"9007199254740993", b"\\ud800", b"\xef\xbb\xbf", b"[" * 2000),
    *(b"a." * 200, b'"a":1,"a":2,', b"\xe2\x80\x94 ", b"-----BEGIN PUBLIC KEY-----", b"A" * 5000, b"index "),
    *(b"old ", b"Content-Length: 99999999999\r\n"),
)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda good: good[: len(good) // 2],
    "levels": lambda _: b"[" * 3_000,
    "levels-closed": lambda _: b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    "not-utf-8": lambda good: good[:9] + b"\xff\xfe" + good[9:],
    "nul": lambda good: good[:9] + b"\0\0" + good[9:],
    "mark": lambda good: b"\xef\xbb\xbf" + good,
    "line": lambda _: b"A" * 3_000,
}
JSON_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "twice": lambda good: good.replace(b"{", b'{"format":"x","format":"x",', 1),
    "nan": lambda good: good.replace(b"{", b'{"size":NaN,', 1),
    "large": lambda good: good.replace(b"{", b'{"size":9007199254740993,', 1),
    "surrogate": lambda good: good.replace(b"{", b'{"a":"\\ud800",', 1),
    "list": lambda good: b"[" + good.strip() + b"]",
    "object": lambda _: b"{}",
}


class Refused(Exception):
    """Raised by a reader below for what a parser reports without raising."""


class Readers:
    """One method for each target: returns for what is read, raises `CustodyError` or `Refused` for all else."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "given"
        self.memory = FileMemory(folder / "memory")
        self.memory.remember(ORIGIN, 1, bytes(32))
        (self.remembered,) = (folder / "memory").glob("*.json")
        self.criteria = vocabulary()
        self.server: WitnessServer | None = None

    def _file(self, raw: bytes) -> Path:
        self.path.write_bytes(raw)
        return self.path

    def config(self, raw: bytes) -> None:
        read_config(self._file(raw), {})

    def criteria_file(self, raw: bytes) -> None:
        if read_criteria(raw, self.criteria, ()).defects:
            raise Refused

    def access(self, raw: bytes) -> None:
        try:
            Rules(access_text(), access_schema(), raw.decode())
        except UnicodeDecodeError:
            raise Refused from None

    def trust(self, raw: bytes) -> None:
        read_trust(self._file(raw))

    def root_proposal(self, raw: bytes) -> None:
        read_proposal(raw, ORIGIN)

    def key_request(self, raw: bytes) -> None:
        read_request(raw, ORIGIN, "olga")

    def public_key(self, raw: bytes) -> None:
        try:
            canonical_pem(raw.decode())
        except UnicodeDecodeError:
            raise Refused from None

    def private_key(self, raw: bytes) -> None:
        PersonKey.load(self._file(raw))

    def note(self, raw: bytes) -> None:
        try:
            parse_note(raw.decode())
        except UnicodeDecodeError:
            raise Refused from None

    def proof(self, raw: bytes) -> None:
        read_proof(raw)

    def entry_tile(self, raw: bytes) -> None:
        if not read_bundle(raw):
            raise Refused

    def witness_http(self, raw: bytes) -> None:
        """Answer a raw request as the witness's server does; 404 is for a sound one about a log nobody follows."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(5)
            ours.sendall(raw[:150_000])
            ours.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                _Handler(theirs, ("127.0.0.1", 0), self._server())
            theirs.close()
            answer = b""
            with contextlib.suppress(ConnectionError):  # closed with bytes unread: too many were sent
                while piece := ours.recv(65536):
                    answer += piece
        if b"does not follow that log" not in answer:
            raise Refused

    def _server(self) -> WitnessServer:
        if self.server is None:
            book = FileBook.create(self.folder / "eye", "eye.example/one")
            witness = Witness("eye.example/one", book.key(), book, lambda: 1)
            self.server = WitnessServer(witness, "127.0.0.1", 0, lambda _: None)
        return self.server

    def remembered_checkpoint(self, raw: bytes) -> None:
        self.remembered.write_bytes(raw)
        if self.memory.last(ORIGIN) is None:
            raise Refused

    def transcript(self, raw: bytes) -> None:
        if not read_transcript(raw, START, SEED).lines:
            raise Refused

    def vault_entry(self, raw: bytes) -> None:
        try:
            digest = strictjson.parse_object(raw)["manifest"]["sha256"]
        except (KeyError, TypeError):
            digest = "00" * 32
        read_entry(raw, digest if isinstance(digest, str) else "00" * 32, "it")

    def vault_key(self, raw: bytes) -> None:
        read_wrapped_key(raw, "it")

    def vault_file_keys(self, raw: bytes) -> None:
        read_file_keys(raw, 1, "it")

    def vault_root_key(self, raw: bytes) -> None:
        read_root(raw, "", "it")

    def envelope(self, raw: bytes) -> None:
        Envelope.from_bytes(raw)

    def statement(self, raw: bytes) -> None:
        Statement.from_bytes(raw)

    def json(self, raw: bytes) -> None:
        strictjson.dump(strictjson.parse(raw))

    def bundle(self, raw: bytes) -> None:
        self._verify(self._file(raw), CORPUS / "verifier_trust" / "good")

    def verifier_trust(self, raw: bytes) -> None:
        self._verify(CORPUS / "bundle" / "good", self._file(raw))

    def _verify(self, bundle: Path, trust: Path) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = verify(["bundle", str(bundle), "--trust", str(trust), "--at", "2030-01-01T00:00:00+00:00"])
        if code in (2, 4) and said.getvalue():
            raise Refused
        if code not in (0, 1, 3):
            raise AssertionError(f"exit {code}: {said.getvalue()}")

    def __getitem__(self, target: str) -> Callable[[bytes], None]:
        """Return the reader of a target."""
        found: Callable[[bytes], None] = getattr(self, target)
        return found

    def close(self) -> None:
        """Give the server's port back."""
        if self.server is not None:
            self.server.server_close()

    def one_input(self, target: str, raw: bytes) -> bool:
        """Read an input; True when it was accepted, False when it was refused with a reason."""
        began = time.process_time()
        try:
            self[target](raw)
            accepted = True
        except Refused:
            accepted = False
        except CustodyError as error:
            if not error.message.strip():
                raise AssertionError("refused without a reason") from error
            accepted = False
        took = time.process_time() - began
        if took > SECONDS:
            raise AssertionError(f"{target}: {took:.1f} s of processor time for one input")
        return accepted


TARGETS = sorted(name for name, kind in vars(Readers).items() if name[0] != "_" and name not in ("close", "one_input"))


def sound(folder: Path) -> dict[str, bytes]:
    """Return what Custody itself writes, for each target."""
    key, other, log, eye = PersonKey.generate(), PersonKey.generate(), LogKey.generate(), LogKey.generate()
    key.save(folder / "key.pem")
    owners = tuple(Owner(name, name, one.keyid, one.public) for name, one in (("olga", key), ("bea", other)))
    root = read_trust_root(ORIGIN, Root(2, "", raw_to_text(log.public), owners, 2).to_json())
    records = [f"custody-entry/v1\nurn:x\n{number:064x}\n{number:064x}\n".encode() for number in range(21)]
    leaves = [leaf_hash(record) for record in records]
    plain = sign_checkpoint(Checkpoint(ORIGIN, 21, root_of(leaves)), log)
    note = with_cosignatures(plain, [cosign(plain, "eye.example/one", eye, 1)], {"eye.example/one": eye.public})
    request = Request(7, tuple(prove_consistency(leaves, 7)), plain).to_bytes()
    lines: list[bytes] = []
    recorder = Recorder(START, SEED, lines.append)
    recorder.take(b"".join(b'{"values":{"loss":"%d"}}\n' % step for step in range(5)), 1.0)
    write_trust(folder / "trust.json", Trust(ORIGIN, raw_to_text(log.public), key.keyid, 2, root.digest, 9, "cd" * 32))
    (folder / "model").mkdir()
    (folder / "model" / "a.bin").write_bytes(b"a" * 100)
    manifest, vault = walk(folder / "model"), Vault(folder / "vault")
    vault.put(manifest, {"a.bin": folder / "model" / "a.bin"})
    place = folder / "vault" / "models" / manifest.sha256
    life = Life(folder / "life")
    life.enrol_all()
    life.export(folder / "life")
    envelope = next(iter(life.custody.desk.reading.rows))[1]
    memory = strictjson.dump({"origin": ORIGIN, "root": "ab" * 32, "size": 9})
    criteria = (Path(__file__).parent / "criteria.py").read_text().split('SOUND = b"""')[1].split('"""')[0].encode()
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    return {
        "config": (folder / "life" / "custody.toml").read_bytes(),
        "criteria_file": criteria,
        "access": b'@id("x")\nforbid (principal, action, resource) when { context.stage == "x" };\n',
        "trust": (folder / "trust.json").read_bytes(),
        "root_proposal": write_proposal(
            ORIGIN, Proposal(root, tuple(sign_root(ORIGIN, root, one) for one in (key, other)))
        ),
        "key_request": write_request(ORIGIN, "olga", key.public, key),
        "public_key": key.public.encode(),
        "private_key": (folder / "key.pem").read_bytes(),
        "note": note.encode(),
        "proof": Inclusion(7, tuple(prove_inclusion(leaves, 7)), records[7], plain).to_text().encode(),
        "entry_tile": write_bundle(records),
        "witness_http": head % len(request) + request,
        "remembered_checkpoint": memory,
        "transcript": b"".join(lines),
        "vault_entry": (place / "entry.json").read_bytes(),
        "vault_key": (place / "key").read_bytes(),
        "vault_file_keys": (place / "file-keys").read_bytes(),
        "vault_root_key": (folder / "vault.key").read_bytes(),
        "envelope": envelope.to_bytes(),
        "statement": envelope.payload,
        "json": b'{"a":[1,2.5,null,true,"x"],"b":{}}',
        "bundle": (folder / "life" / "bundle.json").read_bytes(),
        "verifier_trust": (folder / "life" / "trust.json").read_bytes(),
    }


def write_corpus() -> None:
    """Write every target's folder anew: one sound file, and every damage of it that the target refuses."""
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "made").mkdir()
        found = sound(folder)
        for target, good in found.items():
            (CORPUS / target).mkdir(parents=True, exist_ok=True)
            if target != "private_key":  # a private key in a repository alarms whoever searches for them
                (CORPUS / target / "good").write_bytes(good)
        (work := Path(name) / "work").mkdir()
        readers = Readers(work)
        for target, good in found.items():
            damages = {**DAMAGES, **(JSON_DAMAGES if good.startswith(b"{") else {})}
            for damage, change in damages.items():
                if not readers.one_input(target, change(good)):
                    (CORPUS / target / damage).write_bytes(change(good))
        readers.close()


def seeds(target: str) -> list[Path]:
    """Return a target's corpus."""
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


def damaged(dice: random.Random, pool: list[bytes]) -> bytes:
    """Change a seed in a few places: bytes, pieces of others, repeats, cuts."""
    body = bytearray(dice.choice(pool))
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(body) + 1)
        match dice.randrange(6):
            case 0:
                body[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                body[at:at] = dice.choice(SPICE)
            case 2:
                del body[at : at + dice.randint(1, 40)]
            case 3:
                body[at:at] = body[max(0, at - dice.randint(1, 200)) : at]
            case 4:
                other = dice.choice(pool)
                start = dice.randrange(len(other) + 1)
                body[at:at] = other[start : start + dice.randint(1, 200)]
            case _ if dice.random() < 0.2:
                del body[at:]
    return bytes(body)


def main() -> int:
    """Run for a while and say for each target how many inputs were read and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=["", *TARGETS])
    parser.add_argument("--write", action="store_true", help="write the corpus anew, and nothing else")
    options = parser.parse_args()
    if options.write:
        write_corpus()
        return 0
    wanted = [options.only] if options.only else TARGETS
    total = 0
    with tempfile.TemporaryDirectory() as name:
        readers = Readers(Path(name))
        for target in wanted:
            dice = random.Random(f"{target} {options.seed}")
            pool = [path.read_bytes() for path in seeds(target)]
            if target == "private_key":
                PersonKey.generate().save(Path(name) / "key.pem")
                pool.append((Path(name) / "key.pem").read_bytes())
            count = {True: 0, False: 0}
            end = time.monotonic() + options.seconds / len(wanted)
            while time.monotonic() < end:
                raw = damaged(dice, pool)
                try:
                    count[readers.one_input(target, raw)] += 1
                except BaseException:
                    print(f"{target}: failing input: {raw[:2000]!r}", file=sys.stderr)
                    raise
            print(f"{target}: {sum(count.values())} inputs, {count[True]} read, {count[False]} refused")
            total += sum(count.values())
        readers.close()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} inputs for {len(wanted)} targets, {megabytes:.0f} MB at most (seed {options.seed})")
    return 1 if megabytes > MEGABYTES or not total else 0


if __name__ == "__main__":
    sys.exit(main())

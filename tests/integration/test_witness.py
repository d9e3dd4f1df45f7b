"""Outside eyes as people use them: a witness that serves, a time-stamping authority, a project that anchors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from custody.config import read_config

if TYPE_CHECKING:
    from tests.integration.conftest import Place


class Eye:
    """A witness in a folder of its own, run by the command."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder / name.replace("/", "-"), name
        self.made = self.run("init", name)
        self.key = str(self.made["key"])

    def run(self, *words: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "custody", "witness", *words, "--folder", str(self.folder), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def follow(self, place: Place) -> None:
        config = read_config(place.folder / "custody.toml", {})
        self.run("follow", config.origin, config.log_key)

    @contextmanager
    def serving(self) -> Iterator[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "custody", "witness", "serve", "--folder", str(self.folder), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert process.stdout is not None
            process.stdout.close()


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Serve a time-stamping authority made with OpenSSL; gives its folder and URL."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n"
        "digests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
    )
    (folder / "serial").write_text("01\n")
    (folder / "extensions").write_text("extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "30")
    openssl(folder, "req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=TSA")
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "extensions"]
    openssl(folder, "x509", "-req", "-in", "tsa.csr", *sign, "-out", "tsa.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            (folder / "q.tsq").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            words = ["-config", "tsa.cnf", "-queryfile", "q.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key"]
            openssl(folder, "ts", "-reply", *words, "-chain", "ca.pem", "-out", "r.tsr")
            body = (folder / "r.tsr").read_bytes()
            if self.path == "/old":  # somebody else's stamp, or yesterday's
                body = (folder / "old.tsr").read_bytes() if (folder / "old.tsr").exists() else body
                (folder / "old.tsr").write_bytes(body)
            self.send_response(500 if self.path == "/broken" else 200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def install(place: Place, eyes: list[Eye], quorum: int) -> None:
    """Put a trust root in force that names these witnesses."""
    words = [word for eye in eyes for word in ("--add-witness", str(eye.made["vkey"]))]
    place.must("propose", "keys", "root", "propose", *words, "--quorum", str(quorum), "-o", "root.json")
    place.must("sign", "keys", "root", "sign", "root.json")
    place.must("apply", "keys", "root", "apply", "root.json")


@pytest.fixture
def eyes(tmp_path: Path, registered: Place) -> list[Eye]:
    found = [Eye(tmp_path, f"eye.example/{letter}") for letter in "ab"]
    for eye in found:
        eye.follow(registered)
    install(registered, found, 2)
    return found


def stranger(place: Place, folder: Path) -> Place:
    """Give the project to a client that never saw it."""
    copied = place.copy(folder)
    shutil.rmtree(copied.folder / ".state")
    return copied


def configure(place: Place, text: str) -> None:
    path = place.folder / "custody.toml"
    path.write_text(path.read_text() + f"\n[witness]\n{text}\n")


def test_two_witnesses_sign_and_a_stranger_can_tell(registered: Place, eyes: list[Eye], tmp_path: Path) -> None:
    before = stranger(registered, tmp_path / "before")
    said = before.custody("audit", "verify")
    assert said.code == 3
    assert said.body["freshness"]["sentence"] == "freshness unproven"
    with eyes[0].serving() as one, eyes[1].serving() as two:
        step = registered.must("anchor", "ledger", "anchor", "--witness", one, "--witness", two)
    assert sorted(step.body["cosigned"]) == step.body["covered"] == ["eye.example/a", "eye.example/b"]
    assert step.body["quorum"] == 2
    after = stranger(registered, tmp_path / "after")
    said = after.custody("audit", "verify")
    assert said.code == 0
    assert said.body["freshness"]["state"] == "witnessed"
    assert said.body["freshness"]["sentence"].startswith("witnessed by eye.example/a, eye.example/b at 20")
    status = after.plain("status")
    assert "Witnessed by eye.example/a, eye.example/b at" in status.out
    logs = eyes[0].run("status")["logs"]
    assert [log["size"] for log in logs] == [after.sound()]
    listed = after.custody("ledger", "anchors").body["anchors"]
    assert [sorted(one["cosigned"]) for one in listed] == [["eye.example/a", "eye.example/b"]]


def test_one_witness_down_ends_with_3_and_says_who(registered: Place, eyes: list[Eye]) -> None:
    entries = registered.sound()
    with eyes[0].serving() as one:
        configure(registered, f'urls = ["{one}", "http://127.0.0.1:9"]')
        said = registered.plain("ledger", "anchor")
    said.refused(3, "1 of 2 witnesses signed", "http://127.0.0.1:9: Connection refused")
    assert registered.sound() == entries


def test_a_rolled_back_ledger_meets_its_witnesses(registered: Place, eyes: list[Eye], tmp_path: Path) -> None:
    old = stranger(registered, tmp_path / "old")
    with eyes[0].serving() as one, eyes[1].serving() as two:
        registered.must("anchor", "ledger", "anchor", "--witness", one, "--witness", two)
        old.plain("ledger", "anchor", "--witness", one, "--witness", two).refused(4, "the ledger was cut short")


def test_a_witness_by_file(registered: Place, eyes: list[Eye], tmp_path: Path) -> None:
    notes = []
    for eye in eyes:
        request, note = tmp_path / "request", tmp_path / f"{eye.folder.name}.note"
        registered.must("request", "ledger", "anchor", "--request", str(request))
        eye.run("cosign", str(request), "-o", str(note))
        notes += ["--cosigned", str(note)]
    step = registered.must("anchor", "ledger", "anchor", *notes)
    assert sorted(step.body["cosigned"]) == ["eye.example/a", "eye.example/b"]
    registered.must("again", "ledger", "anchor", "--request", str(tmp_path / "late"), "--from", "1")
    refused = eyes[0].run("cosign", str(tmp_path / "late"), "-o", str(tmp_path / "no.note"), code=3)
    assert "--from" in refused["hint"]
    assert not (tmp_path / "no.note").exists()


def test_what_a_witness_refuses_by_file_has_its_exit_code(registered: Place, eyes: list[Eye], tmp_path: Path) -> None:
    request = tmp_path / "request"
    registered.must("request", "ledger", "anchor", "--request", str(request))
    text = request.read_text()
    other = Eye(tmp_path, "eye.example/other")
    assert "follow" in other.run("cosign", str(request), code=3)["hint"]
    for spoiled, code in (("hello", 2), (text.replace("\n\u2014 ", "\n- "), 2), (text[:-12] + "AAAAAAAAA==\n", 5)):
        request.write_text(spoiled)
        eyes[0].run("cosign", str(request), "-o", str(tmp_path / "no.note"), code=code)
    assert not (tmp_path / "no.note").exists()
    eyes[0].run("cosign", str(tmp_path / "missing"), code=2)


def test_a_time_stamp_is_kept_verified_and_accepted_by_openssl(
    registered: Place, authority: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = authority
    step = registered.must("anchor", "ledger", "anchor", "--tsa", url)
    assert step.body["stamped"] == [url]
    listed = registered.custody("ledger", "anchors").body["anchors"][0]["stamps"]
    assert listed[0]["state"] == "unverified"
    assert "tsa_roots" in listed[0]["sentence"]
    shutil.copy(folder / "ca.pem", registered.folder / "tsa-roots.pem")
    configure(registered, 'tsa_roots = "tsa-roots.pem"')
    out = tmp_path / "anchors"
    listed = registered.must("anchors", "ledger", "anchors", "--export", str(out)).body["anchors"][0]["stamps"]
    assert listed[0]["state"] == "verified"
    token, text = next(out.glob("*.tsr")), next(out.glob("*.txt"))
    verify = ["ts", "-verify", "-in", str(token), "-data", str(text), "-CAfile", str(folder / "ca.pem")]
    assert "Verification: OK" in openssl(out, *verify)
    other = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "tsa-roots.pem",
            "-subj",
            "/CN=X",
        ],
        cwd=registered.folder,
        capture_output=True,
        check=False,
    )
    assert other.returncode == 0
    listed = registered.custody("ledger", "anchors").body["anchors"][0]["stamps"]
    assert listed[0]["state"] == "broken"


@pytest.mark.parametrize("path", ["/broken", "/old"])
def test_an_authority_that_does_not_answer_this_request_stamps_nothing(
    registered: Place, authority: tuple[Path, str], path: str
) -> None:
    if path == "/old":
        registered.custody("ledger", "anchor", "--tsa", authority[1] + path)
    entries = registered.sound()
    registered.plain("ledger", "anchor", "--tsa", authority[1] + path).refused(3, "nobody outside signed")
    assert registered.sound() == entries


def test_time_stamps_alone_do_not_make_a_ledger_fresh(
    registered: Place, eyes: list[Eye], authority: tuple[Path, str]
) -> None:
    registered.plain("ledger", "anchor", "--tsa", authority[1]).refused(3, "0 of 2 witnesses signed")


def test_nobody_to_ask_names_the_setting(registered: Place) -> None:
    registered.plain("ledger", "anchor").refused(3, "nobody outside is known")


@pytest.mark.parametrize(
    "text",
    [
        'urls = "http://x"',
        "urls = [1]",
        'eye = "x"',
        "tsa_roots = 5",
        'urls = ["ftp://x"]',
        'tsa = ["file:///etc/passwd"]',
    ],
    ids=range(6),
)
def test_a_wrong_setting_is_refused(registered: Place, text: str) -> None:
    configure(registered, text)
    registered.plain("ledger", "anchor").refused(2)


def test_a_witness_needs_no_project(tmp_path: Path) -> None:
    eye = Eye(tmp_path, "eye.example/alone")
    assert eye.run("status")["logs"] == []
    assert eye.made["vkey"].startswith("eye.example/alone+")
    eye.run("init", "eye.example/alone", code=2)
    for wrong in ("AAAA", "hello", "x" * 3000):
        eye.run("follow", "example.org/log", wrong, code=2)
    eye.run("follow", "a b", "A" * 43 + "=", code=2)


def test_a_witness_serves_on_a_port_that_is_free_or_says_so(tmp_path: Path) -> None:
    eye = Eye(tmp_path, "eye.example/a")
    with eye.serving() as url:
        port = url.rpartition(":")[2]
        said = eye.run("serve", "--port", port, code=6)
        assert "cannot listen" in said["message"]


def test_an_encrypted_witness_needs_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTODY_PASSPHRASE", "open sesame")
    eye = Eye(tmp_path, "eye.example/a")
    assert "ENCRYPTED" in (eye.folder / "key.pem").read_text()
    assert eye.run("status")["name"] == "eye.example/a"
    monkeypatch.delenv("CUSTODY_PASSPHRASE")
    assert eye.run("status", code=5)["hint"] == "set CUSTODY_PASSPHRASE"
    assert os.environ.get("CUSTODY_PASSPHRASE") is None

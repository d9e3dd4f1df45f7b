"""The witness over HTTP: what c2sp.org/tlog-witness asks for, and limits on whoever sends too much or too slowly."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.adapters import outside, witness_server
from custody.adapters.outside import post
from custody.adapters.witness_book import FileBook
from custody.adapters.witness_client import HttpWitness
from custody.adapters.witness_server import WitnessServer
from custody.errors import InvalidInput, Unavailable
from custody.ledger.checkpoint import Checkpoint, cosignatures, sign_checkpoint
from custody.ledger.merkle import leaf_hash, prove_consistency, root_of
from custody.ledger.note import ED25519, VerifierKey
from custody.ledger.witness import MAX_REQUEST_BYTES, Request, Witness
from custody.seal.keys import LogKey

ORIGIN, NAME = "example.org/log", "eye.example/one"
KEY = LogKey.generate()
LEAVES = [leaf_hash(str(n).encode()) for n in range(40)]


def ask(old: int, size: int) -> Request:
    proof = prove_consistency(LEAVES[:size], old) if 0 < old < size else []
    return Request(old, tuple(proof), sign_checkpoint(Checkpoint(ORIGIN, size, root_of(LEAVES[:size])), KEY))


@pytest.fixture
def book(tmp_path: Path) -> FileBook:
    found = FileBook.create(tmp_path / "eye", NAME)
    found.follow(VerifierKey(ORIGIN, ED25519, KEY.public))
    return found


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def server(book: FileBook, heard: list[str]) -> Iterator[WitnessServer]:
    witness = Witness(NAME, book.key(), book, lambda: 1_700_000_000)
    found = WitnessServer(witness, "127.0.0.1", 0, heard.append)
    thread = threading.Thread(target=found.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def raw(server: WitnessServer, text: bytes, patience: float = 5.0) -> bytes:
    host, port = server.server_address[:2]
    with socket.create_connection((host, port), timeout=patience) as connection:
        connection.sendall(text)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def test_it_listens_on_loopback(server: WitnessServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")


def test_a_checkpoint_is_signed_over_http(server: WitnessServer, book: FileBook, heard: list[str]) -> None:
    eye = HttpWitness(server.url + "/")
    for old, size in [(0, 5), (5, 9), (9, 9)]:
        request = ask(old, size)
        answer = eye.ask(request)
        assert answer.status == 200
        assert cosignatures(request.note + answer.body, {NAME: book.key().public}) == {NAME: 1_700_000_000}
    late = eye.ask(ask(5, 9))
    assert (late.status, late.body, late.content_type) == (409, "9\n", "text/x.tlog.size")
    assert [line[:3] for line in heard] == ["200", "200", "200", "409"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 411),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 99 + b"\r\n\r\n", 413),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"DELETE /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"POST /add-checkpoint HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else f"{len(value)}",
)
def test_other_requests_are_refused_with_their_status(server: WitnessServer, text: bytes, status: int) -> None:
    answer = raw(server, text)
    assert str(status).encode() in answer.split(b"\n")[0], answer[:200]


def test_a_body_that_is_cut_short_is_not_answered(server: WitnessServer, heard: list[str]) -> None:
    body = ask(0, 5).to_bytes()
    head = f"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    host, port = server.server_address[:2]
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(head + body[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert heard == []


def test_whoever_is_too_slow_is_cut_off(server: WitnessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_server, "SECONDS", 0.3)
    host, port = server.server_address[:2]
    with socket.create_connection((host, port), timeout=10) as connection:
        start = time.monotonic()
        try:
            for letter in b"POST /add-checkpoint HTTP/1.1\r\n" * 20:
                connection.sendall(bytes([letter]))
                time.sleep(0.02)
                if time.monotonic() - start > 8:
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - start < 5
    assert HttpWitness(server.url).ask(ask(0, 5)).status == 200


def test_too_many_at_once_are_turned_away_and_the_next_is_served(
    server: WitnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_server, "AT_ONCE", 3)
    host, port = server.server_address[:2]
    held = [socket.create_connection((host, port), timeout=5) for _ in range(3)]
    time.sleep(0.2)
    with pytest.raises(Unavailable):
        HttpWitness(server.url).ask(ask(0, 5))
    for connection in held:
        connection.close()
    time.sleep(0.3)
    assert HttpWitness(server.url).ask(ask(0, 5)).status == 200


def test_a_state_that_is_lost_is_503_and_signs_nothing(server: WitnessServer, book: FileBook, heard: list[str]) -> None:
    assert HttpWitness(server.url).ask(ask(0, 5)).status == 200
    next((book.folder / "logs").glob("*.json")).unlink()
    answer = HttpWitness(server.url).ask(ask(5, 9))
    assert answer.status == 503
    assert "CANNOT SIGN" in heard[-1]


def test_many_at_once_are_served_in_turn(server: WitnessServer, book: FileBook) -> None:
    statuses: list[int] = []

    def one() -> None:
        statuses.append(HttpWitness(server.url).ask(ask(0, 5)).status)

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(statuses)) == [200, 409]
    assert statuses.count(200) == 1
    assert book.last(ORIGIN).size == 5


# The client's side: nobody outside is waited for without end, nor believed without limits


class Rude:
    """A server that does what it is told to with every connection."""

    def __init__(self, answer: bytes, pause: float = 0.0) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._answer, self._pause = answer, pause
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self._socket.settimeout(0.1)
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(65536)
                try:
                    for at in range(0, len(self._answer), 1 if self._pause else 65536):
                        connection.sendall(self._answer[at : at + (1 if self._pause else 65536)])
                        if self._pause and self._over.wait(self._pause):
                            break
                except OSError:
                    continue

    def __enter__(self) -> Rude:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


SLOW = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10_000


def test_a_witness_that_drips_is_given_up() -> None:
    with Rude(SLOW, 0.02) as rude:
        start = time.monotonic()
        with pytest.raises(Unavailable, match="no answer within"):
            HttpWitness(rude.url, 0.4).ask(ask(0, 5))
        assert time.monotonic() - start < 3


def test_a_witness_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(Unavailable, match="no answer within"):
            HttpWitness(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3).ask(ask(0, 5))
        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (outside.MAX_ANSWER_BYTES + 10),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    ],
    ids=range(6),
)
def test_an_answer_that_is_none_is_unavailable(answer: bytes) -> None:
    with Rude(answer) as rude, pytest.raises(Unavailable):
        HttpWitness(rude.url, 2).ask(ask(0, 5))


def test_a_redirect_is_not_followed() -> None:
    with Rude(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as rude:
        assert HttpWitness(rude.url, 2).ask(ask(0, 5)).status == 302


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        post(f"http://127.0.0.1:{port}", b"", "text/plain", 2)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "eye",
        "file:///etc/passwd",
        "ftp://x/",
        "http://",
        "http://user@x/",
        "http://x:99999/",
        "http://a b/",
        "http://x/#y",
        "http://x/\r\nA: b",
        "http://\u00e8/",
    ],
    ids=range(11),
)
def test_an_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        HttpWitness(url)


def test_the_limit_of_a_request_holds_a_whole_proof() -> None:
    assert len(Request(2**53, tuple([bytes(32)] * 63), ask(0, 5).note).to_bytes()) < MAX_REQUEST_BYTES
    assert http.client.HTTPConnection.debuglevel == 0

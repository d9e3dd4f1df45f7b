"""The witness over HTTP: POST /add-checkpoint, and nothing else. Loopback unless told otherwise.

Limits: requests of 64 KiB, ten seconds for each, 32 at a time. There is no authentication beyond the log's
signature (https://c2sp.org/tlog-witness); put a reverse proxy with TLS in front to serve other machines.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from custody.errors import CustodyError, Unavailable
from custody.ledger.witness import MAX_REQUEST_BYTES, TEXT, Answer, Witness

SECONDS = 10.0
"""How long a request may take from its first byte to its last."""
AT_ONCE = 32


class WitnessServer(ThreadingHTTPServer):
    """One witness behind one port. `say` hears a line for each answer. Raises `Unavailable` where it cannot listen."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, witness: Witness, host: str, port: int, say: Callable[[str], None]) -> None:
        self.witness, self.say = witness, say
        self._open: dict[int, tuple[socket.socket, float]] = {}
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise Unavailable(f"cannot listen on {host}:{port}: {why}", hint="choose another --port") from None

    @property
    def url(self) -> str:
        """Return where it answers."""
        host, port = self.server_address[:2]
        shown = host.decode() if isinstance(host, bytes) else host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, unless too many are open already."""
        with self._lock:
            full = len(self._open) >= AT_ONCE
            if not full:
                self._open[id(request)] = (request, time.monotonic() + SECONDS)
        if full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off whoever takes too long; the server calls this twice a second."""
        now = time.monotonic()
        with self._lock:
            late = [connection for connection, end in self._open.values() if end < now]
        for connection in late:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has just gone by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep serving when a connection breaks; there is nobody left to answer."""


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    timeout = SECONDS
    server_version = "custody-witness"
    sys_version = ""
    error_content_type = TEXT
    error_message_format = "%(code)d %(message)s\n"

    def do_POST(self) -> None:
        """Answer POST /add-checkpoint."""
        if self.path != "/add-checkpoint":
            self._answer(
                Answer(404, "there is only POST /add-checkpoint\n", reason=f"no such place: {self.path[:60]!r}")
            )
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            self._answer(Answer(411, "the request must say its length\n", reason="no length"))
            return
        if len(length) > 9 or int(length) > MAX_REQUEST_BYTES:
            self._answer(
                Answer(413, f"at most {MAX_REQUEST_BYTES} bytes\n", reason=f"{length[:20]} bytes are too many")
            )
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return
        try:
            answer = self.server.witness.add_checkpoint(body)
        except CustodyError as error:
            answer = Answer(503, "this witness cannot sign now\n", reason=f"CANNOT SIGN: {error}")
        self._answer(answer)

    def do_GET(self) -> None:
        """Refuse: there is nothing to read here."""
        self._answer(Answer(405, "there is only POST /add-checkpoint\n", reason="a GET"))

    def _answer(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.server.say(f"{answer.status} {answer.reason}")
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: each answer has its own line."""

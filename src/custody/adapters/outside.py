"""One POST to somebody outside: a witness or a time-stamping authority. Limits on time and size, no redirects."""

from __future__ import annotations

import http.client
import socket
import threading
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from custody.errors import InvalidInput, Unavailable

SECONDS = 15.0
"""How long an outsider may take for one answer, from the connection to its last byte."""
MAX_ANSWER_BYTES = 256 * 1024


@dataclass(frozen=True)
class Reply:
    """What came back: the HTTP status, the content type without parameters, the body."""

    status: int
    content_type: str
    body: bytes


def post(url: str, body: bytes, content_type: str, seconds: float = SECONDS) -> Reply:
    """Send `body` to an http or https URL; raises `InvalidInput` for another URL, `Unavailable` for no answer.

    The message says what went wrong; who asked says of whom. The whole exchange has `seconds`: whoever answers
    one byte at a time is cut off as well. The answer is not trusted in any way: its signatures are verified.
    """
    parts = _split(url)
    if parts.hostname is None:
        raise InvalidInput(f"{url!r} names no host")
    factory = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = factory(parts.hostname, parts.port, timeout=seconds)
    late = threading.Event()
    watch = threading.Timer(seconds, _cut, (connection, late))
    watch.daemon = True
    watch.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"Content-Type": content_type, "Connection": "close"})
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
        kind = response.headers.get_content_type()
        short = bool(response.length) and len(answer) <= MAX_ANSWER_BYTES
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"no answer within {seconds:g} s" if late.is_set() or isinstance(error, TimeoutError) else _why(error)
        raise Unavailable(why, hint="try again, or ask another one") from None
    finally:
        watch.cancel()
        connection.close()
    if short:
        raise Unavailable("the answer was cut short", hint="try again, or ask another one")
    if late.is_set():
        raise Unavailable(f"no answer within {seconds:g} s", hint="try again, or ask another one")
    if len(answer) > MAX_ANSWER_BYTES:
        raise Unavailable(f"the answer is longer than {MAX_ANSWER_BYTES} bytes", hint="ask another one")
    return Reply(response.status, kind, answer)


def check_url(url: str) -> None:
    """Raise `InvalidInput` unless `url` can be asked: http or https, a host, no password in it."""
    _split(url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise InvalidInput(f"{url[:200]!r} is not an http or https URL")
    if parts.username or parts.password or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(f"{url[:200]!r} has a user, a fragment or odd characters")
    return parts


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has just ended by itself


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)

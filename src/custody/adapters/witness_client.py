"""Asking a witness over HTTP (https://c2sp.org/tlog-witness)."""

from __future__ import annotations

from custody.adapters.outside import SECONDS, check_url, post
from custody.errors import Unavailable
from custody.ledger.witness import Answer, Request


class HttpWitness:
    """A witness behind a URL, the submission prefix of the protocol."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        check_url(url)
        self.url, self._seconds = url.rstrip("/"), seconds

    def ask(self, request: Request) -> Answer:
        """Send one request; raises `Unavailable` when no answer comes in time."""
        reply = post(f"{self.url}/add-checkpoint", request.to_bytes(), "text/plain", self._seconds)
        try:
            return Answer(reply.status, reply.body.decode(), reply.content_type)
        except UnicodeDecodeError:
            raise Unavailable("the answer is not UTF-8", hint="is this a witness?") from None

"""Asking a time-stamping authority over HTTP (RFC 3161, 3.4)."""

from __future__ import annotations

import secrets

from custody.adapters.outside import SECONDS, check_url, post
from custody.errors import InvalidInput, Unavailable
from custody.ledger.timestamp import check_reply, request_for


class HttpAuthority:
    """A time-stamping authority behind a URL."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        check_url(url)
        self.url, self._seconds = url, seconds

    def stamp(self, body: bytes) -> bytes:
        """Return the TimeStampResp for `body`, which must answer this very request; raises `Unavailable`.

        Only form, imprint and nonce are looked at here; whether the authority is one to trust is decided
        by whoever verifies the stamp.
        """
        nonce = secrets.randbits(63) | 1
        reply = post(self.url, request_for(body, nonce), "application/timestamp-query", self._seconds)
        if reply.status != 200:
            raise Unavailable(f"it answered {reply.status}", hint="is this a time-stamping authority?")
        try:
            check_reply(reply.body, body, nonce)
        except InvalidInput as error:
            raise Unavailable(error.message, hint="ask another authority") from None
        return reply.body

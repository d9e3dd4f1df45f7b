"""Everything that can go wrong, on one screen.

Each class is a different thing for the caller to do; each carries the exit code and the HTTP
status that every face uses. A denial by a gate is not an error: it is a `Decision`.

| class        | the caller should                    | exit | HTTP |
|--------------|--------------------------------------|------|------|
| InvalidInput | fix the request                      | 2    | 400  |
| NotFound     | name something on record             | 3    | 404  |
| OutOfOrder   | do the earlier stage                 | 3    | 409  |
| Unknown      | provide the missing evidence         | 3    | 422  |
| Tampered     | stop and investigate                 | 4    | 422  |
| NotPermitted | find another actor                   | 5    | 403  |
| Unavailable  | try again                            | 6    | 503  |
"""

from __future__ import annotations


class CustodyError(Exception):
    """A refusal with a reason; `hint` says what to do next."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and what to do next where that is known."""
        return f"{self.message} (next: {self.hint})" if self.hint else self.message


class InvalidInput(CustodyError):
    """The request itself is wrong: a bad file, a bad option, a bad value."""

    exit_code = 2
    http_status = 400


class NotFound(CustodyError):
    """Nothing of that name is on record."""

    exit_code = 3
    http_status = 404


class OutOfOrder(CustodyError):
    """An earlier stage has left no evidence yet."""

    exit_code = 3
    http_status = 409


class Unknown(CustodyError):
    """Something could not be measured, so nothing may be concluded from it."""

    exit_code = 3
    http_status = 422


class Tampered(CustodyError):
    """Bytes are not what was signed, logged or promised. Never retried."""

    exit_code = 4
    http_status = 422


class NotPermitted(CustodyError):
    """This actor may not do this, here, now."""

    exit_code = 5
    http_status = 403


class Unavailable(CustodyError):
    """Busy, full, read-only or timed out; nothing recorded was lost."""

    exit_code = 6
    http_status = 503

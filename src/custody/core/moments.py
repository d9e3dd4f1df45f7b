"""Moments as statements carry them: ISO 8601 with a time zone. What cannot be read has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def moment(text: str) -> datetime | None:
    """Read an ISO 8601 moment with a time zone; None when it is not one."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def end(expires: str) -> datetime:
    """Order ends by the moment they mean, whatever their notation; what cannot be read ends first."""
    return moment(expires) or datetime.min.replace(tzinfo=UTC)


def expired(expires: str, at: str) -> bool:
    """Tell whether `expires` is not after `at`; what cannot be read has expired."""
    end, now = moment(expires), moment(at)
    return end is None or now is None or end <= now


def too_long(made: str, expires: str, at: str, days: int | None) -> bool:
    """Tell whether a waiver made at `made` runs longer than allowed, or was made in the future."""
    start, end, now, most = moment(made), moment(expires), moment(at), days
    if start is None or end is None or now is None or most is None:
        return True
    return start > now or (end - start) / timedelta(days=1) > most

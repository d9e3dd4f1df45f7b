"""Version ordering for Python packages (PEP 440), as far as comparing two of them needs."""

from __future__ import annotations

import re

_VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(a|alpha|b|beta|c|rc|pre|preview)[-_.]?(\d*))?"
    r"(?:(?:-(\d+))|(?:[-_.]?(?:post|rev|r)[-_.]?(\d*)))?"
    r"(?:[-_.]?dev[-_.]?(\d*))?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?\Z",
    re.IGNORECASE,
)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_LAST = (9, 0)

Key = tuple[int, tuple[int, ...], tuple[int, int], int, float]


def version_key(text: str) -> Key | None:
    """Return a key that sorts as PEP 440 does (local parts are ignored), or None when it is no version."""
    match = _VERSION.match(text.strip())
    if match is None or len(text) > 100:
        return None
    epoch, release, letter, number, bare_post, post, dev = match.groups()
    numbers = [int(part) for part in release.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    posted = -1 if bare_post is None and post is None else int(bare_post or post or 0)
    if letter is not None:
        pre = (_PRE[letter.lower()], int(number or 0))
    else:
        pre = (-1, 0) if dev is not None and posted < 0 else _LAST
    return (int(epoch or 0), tuple(numbers), pre, posted, float("inf") if dev is None else int(dev or 0))

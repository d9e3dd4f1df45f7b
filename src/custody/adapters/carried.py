"""A bundle as a ledger that is only read, and a memory that lasts as long as the process.

With them a reader without the project sees from somebody's bundle what the project itself shows: the same desk
verifies the same envelopes, under the keys of a trust root that came by another way.
"""

from __future__ import annotations

from collections.abc import Sequence

from custody.core import strictjson
from custody.errors import InvalidInput, Unavailable
from custody.ledger.bundle import FORMAT, MAX_BUNDLE_BYTES
from custody.ledger.log import leaf_of
from custody.ledger.merkle import Frontier
from custody.ledger.store import Head, Row, Sign, Snapshot
from custody.seal.envelope import Envelope

MAX_HEAD_BYTES = 256 * 1024


class BundleStore:
    """The entries of a bundle: a line for the head, a line for each envelope, a line that ends it."""

    def __init__(self, bundle: bytes) -> None:
        """Read the lines; raises `InvalidInput` for what is no bundle. Nothing is believed yet: the log verifies it."""
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise InvalidInput(f"the bundle is longer than {MAX_BUNDLE_BYTES} bytes")
        head, *lines = bundle.split(b"\n")
        if len(lines) < 2 or lines[-2:] != [b"]}", b""]:
            raise InvalidInput("this is not a bundle: it does not end as one")
        body = strictjson.parse_object(head + b"]}", max_bytes=MAX_HEAD_BYTES, what="bundle's head")
        note = body.get("checkpoint")
        if body.get("format") != FORMAT or not isinstance(note, str):
            raise InvalidInput(f"this is not a bundle of the format {FORMAT}")
        self._rows: list[Row] = []
        for index, line in enumerate(lines[:-2]):
            raw = line.removesuffix(b",")
            self._rows.append(Row(index, leaf_of(Envelope.from_bytes(raw)), raw))
        self._head = Head(note, Frontier().extend(row.leaf for row in self._rows))

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        """Return the checkpoint and the rows from `start` to before `stop`."""
        return Snapshot(self._head, self._rows[start:stop])

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:  # noqa: ARG002
        """Refuse: a bundle is a copy, and nothing is added to it. Raises `Unavailable`."""
        raise Unavailable("a bundle is only read", hint="act in the project it was exported from")

    def cosign(self, size: int, note: str) -> None:  # noqa: ARG002
        """Refuse as `append` does."""
        raise Unavailable("a bundle is only read", hint="act in the project it was exported from")

    def close(self) -> None:
        """Hold nothing open."""


class Recalled:
    """What a reader knows of a log from a trust file: a size and root that it must contain, or nothing."""

    def __init__(self, size: int = 0, root: bytes = b"") -> None:
        self._seen = (size, root) if size else None

    def last(self, origin: str) -> tuple[int, bytes] | None:  # noqa: ARG002
        """Return the tree that the trust file pins."""
        return self._seen

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Forget: what a bundle says of itself is nothing to hold a later one against."""

    def anchored(self, origin: str) -> tuple[int, bytes] | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def remember_anchor(self, origin: str, size: int, root: bytes) -> None:
        """Forget."""

    def verified(self, origin: str) -> tuple[int, bytes] | None:  # noqa: ARG002
        """Return nothing: every signature is verified."""
        return None

    def remember_verified(self, origin: str, size: int, digest: bytes) -> None:
        """Forget."""

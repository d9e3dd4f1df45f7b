"""The seed of a training run, derived from what could not be known before the criteria were sealed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


def derive_seed(root: str, seal: str, inputs: Iterable[tuple[str, str]]) -> int:
    """Return a seed in [0, 2^31) bound to the ledger root, the seal and the training data.

    `root` is the hex tree root of a checkpoint taken after the seal was logged. A run whose seed is
    this one cannot have been started before the seal existed. (HKDF-style extract, RFC 5869 2.2.)
    """
    message = "custody-seed/v1\n" + seal + "\n" + "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(inputs))
    digest = hmac.new(bytes.fromhex(root), message.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF

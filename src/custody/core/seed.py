"""The chance of a training run, derived from what could not be known before the criteria were sealed.

Seed and batch order follow from the root of a checkpoint that covers the seal, from the seal and from the
training data. `docs/explanation/sealed-before-training.md` states both constructions with test vectors;
`custody_run`, which a training script imports, computes the order a second time on its own.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable

MOST_ROWS = 2**31 - 1


def derive_seed(root: str, seal: str, inputs: Iterable[tuple[str, str]]) -> int:
    """Return a seed in [0, 2^31) bound to the ledger root, the seal and the training data.

    `root` is the hex tree root of a checkpoint taken after the seal was logged. A run whose seed is
    this one cannot have been started before the seal existed. (HKDF-style extract, RFC 5869 2.2.)
    """
    return int.from_bytes(_extract("custody-seed/v1", root, seal, inputs)[:4], "big") & 0x7FFFFFFF


def derive_order_key(root: str, seal: str, inputs: Iterable[tuple[str, str]]) -> str:
    """Return the key of all batch orders of a run, as 64 hex digits; bound as the seed is, and independent of it."""
    return _extract("custody-order/v1", root, seal, inputs).hex()


def other_order_key(seed: int) -> str:
    """Return an order key for a run whose seed was chosen by hand, so that its order differs as well."""
    return hashlib.sha256(f"custody-order/other\n{seed}\n".encode()).hexdigest()


def order_of(key: str, rows: int, epoch: int = 0) -> list[int]:
    """Return the order of `rows` rows in one epoch: a permutation of 0 ... rows - 1.

    Each row gets 64 bits of SHAKE-256(key, epoch, rows), big-endian; rows are sorted by them, equal ones
    by their number. Any language with SHAKE-256 and a stable sort gives the same order.
    """
    if not 0 <= rows <= MOST_ROWS or not 0 <= epoch < 2**63:
        raise ValueError("rows must be between 0 and 2^31 - 1, epoch between 0 and 2^63 - 1")
    stream = hashlib.shake_256(bytes.fromhex(key) + struct.pack(">QQ", epoch, rows)).digest(8 * rows)
    tags = struct.unpack(f">{rows}Q", stream)
    return sorted(range(rows), key=tags.__getitem__)


def derive_order(root: str, seal: str, inputs: Iterable[tuple[str, str]], epoch: int, rows: int) -> list[int]:
    """Return the batch order of a run from what its start statement says."""
    return order_of(derive_order_key(root, seal, inputs), rows, epoch)


def _extract(purpose: str, root: str, seal: str, inputs: Iterable[tuple[str, str]]) -> bytes:
    message = f"{purpose}\n{seal}\n" + "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(inputs))
    return hmac.new(bytes.fromhex(root), message.encode(), hashlib.sha256).digest()

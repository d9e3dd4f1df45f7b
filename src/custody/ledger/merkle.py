"""The Merkle tree of RFC 6962: roots, inclusion proofs and consistency proofs.

Pure functions over leaf hashes; no I/O. `Frontier` holds the roots of the complete subtrees on the
right edge (at most 64 of them), which is all that appending needs. Section numbers are RFC 6962's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    """Hash a leaf (2.1: a zero byte keeps leaves and nodes apart)."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node (2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """The right edge of a tree of `size` leaves: one hash for each one-bit of `size`, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.hashes) != self.size.bit_count() or any(len(h) != HASH_BYTES for h in self.hashes):
            raise ValueError("the frontier does not fit its size")

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Append leaf hashes."""
        size, stack = self.size, list(self.hashes)
        for leaf in leaves:
            carry, rest = leaf, size
            while rest & 1:
                carry = node_hash(stack.pop(), carry)
                rest >>= 1
            stack.append(carry)
            size += 1
        return Frontier(size, tuple(stack))

    @property
    def root(self) -> bytes:
        """Return the tree's root."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Write the hashes one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, raw: bytes) -> Frontier:
        """Read what `to_bytes` wrote."""
        return cls(size, tuple(raw[i : i + HASH_BYTES] for i in range(0, len(raw), HASH_BYTES)))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return Frontier().extend(leaves).root


def prove_inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of leaf `index` (2.1.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"leaf {index} is not in a tree of {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and current == root


def prove_consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Return the proof that the tree of the first `old` leaves is a prefix of this one (2.1.2)."""
    if not 0 < old <= len(leaves):
        raise ValueError(f"a tree of {old} is no prefix of one of {len(leaves)}")
    return _subproof(leaves, old, whole=True)


def _subproof(leaves: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    middle = _split(len(leaves))
    if old <= middle:
        return [*_subproof(leaves[:middle], old, whole=whole), root_of(leaves[middle:])]
    return [*_subproof(leaves[middle:], old - middle, whole=False), root_of(leaves[:middle])]


def check_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check a consistency proof (RFC 9162 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof:
        return False
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


Node = Callable[[int, int], bytes]
"""`node(level, index)`: the root of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""


def span_root(node: Node, low: int, high: int) -> bytes:
    """Return the root over leaves `low` to before `high` (2.1), where `low` is a multiple of the span's full width."""
    if low == high:
        return EMPTY_ROOT
    parts: list[bytes] = []
    place = low
    for level in range((high - low).bit_length() - 1, -1, -1):
        if (high - low) >> level & 1:
            parts.append(node(level, place >> level))
            place += 1 << level
    root = parts.pop()
    while parts:
        root = node_hash(parts.pop(), root)
    return root


def inclusion_path(node: Node, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in a tree of `size` (2.1.1), from nodes that were kept: O(log size)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(span_root(node, middle, high))
            high = middle
        else:
            path.append(span_root(node, low, middle))
            low = middle
    return path[::-1]


def consistency_path(node: Node, old: int, size: int) -> list[bytes]:
    """Return the proof that the first `old` leaves are a prefix (2.1.2), from nodes that were kept: O(log size)."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {old} is no prefix of one of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(span_root(node, middle, high))
            high = middle
        else:
            path.append(span_root(node, low, middle))
            low = middle
    if low:
        path.append(span_root(node, low, high))
    return path[::-1]


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1

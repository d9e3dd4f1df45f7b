from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from custody.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in VECTORS["inputs"]]
ROOTS = [bytes.fromhex(text) for text in VECTORS["roots"]]
MANY = [leaf_hash(str(number).encode()) for number in range(40)]


def proof_of(vector: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(text) for text in vector["proof"]]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of(LEAVES[:size]) == ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_inclusion_proofs_are_those_of_certificate_transparency(vector: dict[str, Any]) -> None:
    index, size = vector["index"], vector["size"]
    assert prove_inclusion(LEAVES[:size], index) == proof_of(vector)
    assert check_inclusion(LEAVES[index], index, size, proof_of(vector), ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_consistency_proofs_are_those_of_certificate_transparency(vector: dict[str, Any]) -> None:
    old, new = vector["old"], vector["new"]
    assert prove_consistency(LEAVES[:new], old) == proof_of(vector)
    assert check_consistency(old, new, proof_of(vector), ROOTS[old], ROOTS[new])


def test_leaves_and_nodes_cannot_be_taken_for_one_another() -> None:
    left, right = LEAVES[0], LEAVES[1]
    assert node_hash(left, right) == hashlib.sha256(b"\x01" + left + right).digest()
    assert leaf_hash(left + right) != node_hash(left, right)
    assert EMPTY_ROOT == hashlib.sha256(b"").digest() != leaf_hash(b"")


def test_every_leaf_of_every_tree_up_to_40_is_proven() -> None:
    for size in range(1, 41):
        leaves, root = MANY[:size], root_of(MANY[:size])
        for index in range(size):
            proof = prove_inclusion(leaves, index)
            assert len(proof) <= (size - 1).bit_length()
            assert check_inclusion(leaves[index], index, size, proof, root)
            assert not check_inclusion(leaves[index], index, size, [*proof, root], root)
            assert not check_inclusion(leaves[index - 1], index, size, proof, root) or size == 1
            assert not check_inclusion(leaves[index], index, size, proof[:-1], root) or size == 1


def test_every_pair_of_trees_up_to_40_is_consistent() -> None:
    roots = [root_of(MANY[:size]) for size in range(41)]
    for new in range(1, 41):
        for old in range(1, new + 1):
            proof = prove_consistency(MANY[:new], old)
            assert check_consistency(old, new, proof, roots[old], roots[new])
            assert not check_consistency(old, new, [*proof, roots[0]], roots[old], roots[new])
            assert not check_consistency(old, new, proof, roots[0], roots[new])
            if old < new:
                assert not check_consistency(old, new, proof, roots[old], roots[0])
                assert not check_consistency(old, new, proof, roots[new], roots[old])
                assert not check_consistency(old, new, proof[:-1], roots[old], roots[new])
                assert not check_consistency(old, new, [], roots[old], roots[new])


def test_sizes_that_make_no_sense_prove_nothing() -> None:
    root = root_of(MANY)
    proof = prove_inclusion(MANY, 3)
    for index, size in ((-1, 40), (40, 40), (3, 0), (3, -1), (0, 40), (3, 2)):
        assert not check_inclusion(MANY[3], index, size, proof, root)
    consistency = prove_consistency(MANY, 7)
    for old, new in ((0, 40), (-7, 40), (41, 40), (6, 40), (8, 40)):
        assert not check_consistency(old, new, consistency, root_of(MANY[:7]), root)
    assert check_consistency(40, 40, [], root, root)
    assert not check_consistency(40, 40, [root], root, root)
    assert not check_consistency(40, 40, [], ROOTS[1], root)


def test_a_part_of_a_tree_does_not_pass_for_the_whole() -> None:
    left, right, more = MANY[:3]
    pair = node_hash(left, right)
    assert check_inclusion(left, 0, 2, [right], pair)
    assert not check_inclusion(left, 0, 4, [right], pair)  # the root of a subtree is not the root
    assert not check_inclusion(right, 0, 1, [left], pair)  # nor does a leaf sit above its tree
    assert not check_inclusion(left, 1, 1, [], left)
    assert not check_consistency(2, 8, [more], pair, node_hash(pair, more))
    assert not check_consistency(2, 3, [more, left], pair, node_hash(left, node_hash(pair, more)))


@pytest.mark.parametrize("index", [-1, 40])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        prove_inclusion(MANY, index)


@pytest.mark.parametrize("old", [0, -1, 41])
def test_there_is_no_proof_of_a_prefix_that_is_none(old: int) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        prove_consistency(MANY, old)


def test_a_frontier_grows_leaf_by_leaf_to_the_same_root() -> None:
    frontier = Frontier()
    roots = [frontier.root]
    for leaf in MANY:
        frontier = frontier.extend([leaf])
        roots.append(frontier.root)
        assert Frontier.from_bytes(frontier.size, frontier.to_bytes()) == frontier
    assert roots == [root_of(MANY[:size]) for size in range(41)]
    assert all(before != after for before, after in pairwise(roots))
    assert Frontier().extend(MANY[:17]).extend(MANY[17:]) == frontier


@pytest.mark.parametrize(("size", "raw"), [(1, b""), (0, bytes(32)), (2, bytes(64)), (1, bytes(31)), (3, bytes(65))])
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, raw: bytes) -> None:
    with pytest.raises(ValueError, match="fit"):
        Frontier.from_bytes(size, raw)

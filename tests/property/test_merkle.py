from __future__ import annotations

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from custody.ledger.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)

hashes = st.binary(min_size=32, max_size=32)
trees = st.lists(st.binary(max_size=3), min_size=1, max_size=70).map(lambda inputs: [leaf_hash(i) for i in inputs])


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    import hashlib

    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


@given(trees, st.lists(st.integers(0, 70), max_size=5))
def test_the_root_is_that_of_the_definition_however_it_grew(leaves: list[bytes], cuts: list[int]) -> None:
    places = sorted({0, len(leaves), *(cut for cut in cuts if cut < len(leaves))})
    frontier = Frontier()
    for start, end in pairwise(places):
        frontier = frontier.extend(leaves[start:end])
        assert frontier.root == by_definition(leaves[:end])
    assert root_of(leaves) == by_definition(leaves)


@given(trees, st.data())
def test_a_changed_inclusion_proof_proves_nothing(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = prove_inclusion(leaves, index), root_of(leaves)
    assert check_inclusion(leaves[index], index, len(leaves), proof, root)
    forged = data.draw(st.lists(hashes, max_size=8) | changed(proof))
    assume(forged != proof)
    assert not check_inclusion(leaves[index], index, len(leaves), forged, root)
    stranger = data.draw(hashes)
    assume(stranger != leaves[index])
    assert not check_inclusion(stranger, index, len(leaves), proof, root)


@given(trees, st.data())
def test_a_changed_consistency_proof_proves_nothing(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    proof = prove_consistency(leaves, old)
    old_root, root = root_of(leaves[:old]), root_of(leaves)
    assert check_consistency(old, len(leaves), proof, old_root, root)
    forged = data.draw(st.lists(hashes, max_size=8) | changed(proof))
    assume(forged != proof)
    assert not check_consistency(old, len(leaves), forged, old_root, root)


@given(trees, trees, st.data())
def test_a_rewritten_history_has_no_proof(leaves: list[bytes], more: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    stranger = data.draw(hashes)
    assume(stranger != leaves[index])
    rewritten = [*leaves[:index], stranger, *leaves[index + 1 :], *more]
    proof = prove_consistency(rewritten, len(leaves))
    assert not check_consistency(len(leaves), len(rewritten), proof, root_of(leaves), root_of(rewritten))


def changed(proof: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Return ways to change one thing in a proof."""
    if not proof:
        return st.lists(hashes, min_size=1, max_size=2)
    places = st.integers(0, len(proof) - 1)
    return st.one_of(
        places.map(lambda at: proof[:at] + proof[at + 1 :]),
        places.map(lambda at: [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]),
        places.map(lambda at: [*proof[:at], proof[at], *proof[at:]]),
        st.just(proof[::-1]),
    )

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.audit.merkle import EMPTY_ROOT, Frontier, hash_leaf, hash_node

# RFC 6962 as certificate transparency tests it: these eight inputs and the roots of their prefixes.
INPUTS = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.claim("C60")
def test_roots_are_those_of_certificate_transparency() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == sha256(b"").digest()
    for size, content in enumerate(INPUTS, 1):
        frontier.push(hash_leaf(content))
        if size in ROOTS:
            assert frontier.root().hex() == ROOTS[size]


def root_by_definition(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hash_node(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


@given(leaves=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70), cut=st.integers(0, 70))
def test_a_frontier_that_was_packed_goes_on_as_if_it_had_not_been(leaves: list[bytes], cut: int) -> None:
    frontier = Frontier()
    for position, leaf in enumerate(leaves):
        if position == cut:
            frontier = Frontier(frontier.size, frontier.pack())
        frontier.push(leaf)
    assert frontier.root() == root_by_definition(leaves)


@pytest.mark.parametrize(("size", "hashes"), [(1, 0), (3, 1), (4, 2), (0, 1)])
def test_hashes_that_are_not_of_this_size_are_refused(size: int, hashes: int) -> None:
    with pytest.raises(ValueError, match="frontier"):
        Frontier(size, bytes(32) * hashes)

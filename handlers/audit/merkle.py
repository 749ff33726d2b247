"""A Merkle tree that only grows (RFC 6962, section 2), kept as its frontier: the roots of its full subtrees, left to right.

The sizes of those subtrees are the powers of two in the tree's size, so a frontier of n leaves has as many hashes as n has
ones in binary.
"""

from __future__ import annotations

from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def hash_leaf(record: bytes) -> bytes:
    """The leaf of a record."""
    return sha256(b"\x00" + record).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """The node above two."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree of `size` leaves.

    Raises:
        ValueError: the hashes do not belong to a tree of this size.
    """

    def __init__(self, size: int = 0, hashes: bytes = b"") -> None:
        if len(hashes) != HASH_BYTES * size.bit_count():
            raise ValueError("a frontier has one hash for each full subtree")
        self.size = size
        self._hashes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]

    def push(self, leaf: bytes) -> None:
        """Append one leaf."""
        node = leaf
        merges = self.size
        while merges & 1:
            node = hash_node(self._hashes.pop(), node)
            merges >>= 1
        self._hashes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._hashes:
            return EMPTY_ROOT
        node = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            node = hash_node(left, node)
        return node

    def pack(self) -> bytes:
        """The hashes, to be given to the constructor again."""
        return b"".join(self._hashes)

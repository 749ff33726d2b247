"""What a pure function said, kept for those who ask the same again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """`memo[key]` is what `compute(key)` said when it was asked first; what it raises is raised and not kept.

    A hit costs one look-up in a dict. Bounded: when there are `entries_max`, the oldest makes room. Only for functions whose
    answer follows from the key alone, or whose owner calls `clear` when anything else that it follows from has changed.
    """

    __slots__ = ("_compute", "_entries_max")

    def __init__(self, compute: Callable[[K], V], entries_max: int = 1_024) -> None:
        super().__init__()
        self._compute = compute
        self._entries_max = entries_max

    def __missing__(self, key: K) -> V:
        value = self._compute(key)
        if len(self) >= self._entries_max:
            del self[next(iter(self))]
        self[key] = value
        return value

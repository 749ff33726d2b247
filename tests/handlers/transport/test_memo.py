from __future__ import annotations

import pytest

from handlers.transport.memo import Memo


def test_what_was_asked_before_is_not_computed_again() -> None:
    asked: list[int] = []

    def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    memo = Memo(double)
    assert [memo[number] for number in (1, 2, 1, 2)] == [2, 4, 2, 4]
    assert asked == [1, 2]
    memo.clear()
    assert memo[1] == 2
    assert asked == [1, 2, 1]


def test_what_is_raised_is_not_kept() -> None:
    memo: Memo[int, int] = Memo(lambda number: 1 // number)
    with pytest.raises(ZeroDivisionError):
        _ = memo[0]
    assert not memo


def test_it_is_bounded_and_the_oldest_makes_room() -> None:
    memo = Memo(str, entries_max=3)
    assert [memo[number] for number in range(5)] == ["0", "1", "2", "3", "4"]
    assert list(memo) == [2, 3, 4]

"""What people read about spending: every kind of alert, in both regions, exact and without a name."""

from __future__ import annotations

import re

import pytest

from handlers.operations.notices import CHINESE, ENGLISH, notice_of
from handlers.store.operations import Alert

KEY = "u" + "0" * 15


def alert(kind: str, scope: str = "key", spent: int = 1_500_000_000, limit: int = 2_000_000_001) -> Alert:
    return Alert(1, "t", kind, scope, KEY, 80 if kind == "budget" else 0, spent, limit)


@pytest.mark.parametrize("kind", sorted(ENGLISH))
@pytest.mark.parametrize("region", ["global", "china"])
def test_each_kind_has_words_in_both_regions_and_its_amounts_exactly(kind: str, region: str) -> None:
    notice = notice_of(alert(kind), "person@example.com", region)
    assert notice.to == "person@example.com"
    assert "\n" not in notice.subject
    currency = {"global": "USD", "china": "CNY"}[region]
    assert "1.5 " in notice.text
    assert f"2.000000001 {currency}" in notice.text
    assert not re.search(r"[{}]", notice.subject + notice.text)
    chinese = bool(re.search(r"[\u4e00-\u9fff]", notice.text))
    assert chinese == (region == "china")
    assert ENGLISH[kind].text.split("{")[0].strip() in notice.text, "the english words are always there"


def test_every_kind_is_said_in_both_languages() -> None:
    assert ENGLISH.keys() == CHINESE.keys()


def test_a_balance_may_be_below_zero() -> None:
    text = notice_of(alert("low_balance", "tenant", spent=-1, limit=10**9), "a@b", "global").text
    assert "is -0.000000001 USD; you asked to be told below 1 USD" in text

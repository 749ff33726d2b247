from __future__ import annotations

import datetime as dt
import gzip
import hashlib
from decimal import InvalidOperation

import pytest

from handlers.errors import Unavailable
from handlers.local.payments_wechat_state import WeChatState
from handlers.payments.wechat_bills import bill_days, fen, open_bill, read_bill
from handlers.payments.wechat_notices import Merchant

MERCHANT = Merchant("1900000001", "wx0123456789abcdef", "test")
NUMBER = "5b0a8a536b3f4f0e9b0e3a8d6c0e0001"


def _bill(*amounts: int) -> bytes:
    state = WeChatState(MERCHANT.merchant, MERCHANT.application, "k" * 32, lambda _: None)
    for place, amount in enumerate(amounts):
        number = f"{NUMBER[:-2]}{place:02d}"
        state.open_native(
            {
                "mchid": MERCHANT.merchant,
                "appid": MERCHANT.application,
                "out_trade_no": number,
                "description": "x",
                "notify_url": "https://example.com",
                "amount": {"total": amount},
                "attach": "tenant",
            }
        )
        state.pay(number)
    day = dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date().isoformat()
    return state.trade_bill(day)


def test_a_bill_is_read_to_the_fen() -> None:
    notices = list(read_bill(_bill(1, 10, 999, 123_456_789), MERCHANT))
    assert [notice.amount_minor for notice in notices] == [1, 10, 999, 123_456_789]
    assert {(n.currency, n.tenant, n.mode, n.order_id[:8]) for n in notices} == {("cny", "tenant", "test", NUMBER[:8])}


def test_another_merchants_lines_are_foreign() -> None:
    (notice,) = read_bill(_bill(100), Merchant("1900000002", MERCHANT.application, "test"))
    assert notice.mode == "foreign"


@pytest.mark.parametrize(
    ("yuan", "expected"), [("0.01", 1), ("8.8", 880), ("8.80", 880), ("8", 800), ("1000000.99", 100_000_099)]
)
def test_yuan_are_fen_exactly(yuan: str, expected: int) -> None:
    assert fen(yuan) == expected


@pytest.mark.parametrize("yuan", ["", "-1", "1e3", "0.001", "1,000", "NaN", " 1", "1.", "\u0661"])
def test_what_is_no_amount_is_refused(yuan: str) -> None:
    with pytest.raises(InvalidOperation):
        fen(yuan)


def test_a_bill_is_what_the_signed_answer_says_or_nothing() -> None:
    bill = _bill(100)
    packed, digest = gzip.compress(bill), hashlib.sha1(bill).hexdigest()
    assert open_bill(packed, "SHA1", digest.upper()) == bill
    for content, kind, value in (
        (packed, "SHA1", "0" * 40),
        (packed, "MD5", digest),
        (bill, "SHA1", digest),
        (b"", "SHA1", digest),
    ):
        with pytest.raises(Unavailable):
            open_bill(content, kind, value)


def test_a_bill_of_another_form_is_not_guessed_at() -> None:
    for bill in (b"", b"\xff\xff", b"a,b\r\n`1,`2\r\n", _bill(100).replace(b"1.00", b"1.001")):
        with pytest.raises(Unavailable):
            list(read_bill(bill, MERCHANT))


def test_the_days_that_a_time_touches() -> None:
    begin = int(dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp())  # eight in the morning in Beijing
    assert bill_days(begin, begin + 86_400) == ["2026-11-22", "2026-11-23"]
    assert bill_days(begin, begin + 1) == ["2026-11-22"]
    assert bill_days(begin + 16 * 3_600, begin + 16 * 3_600) == ["2026-11-23"]

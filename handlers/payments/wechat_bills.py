"""WeChat Pay's trade bill of one day: gzipped CSV whose every value has a backtick before it, amounts in yuan. No I/O.

The first line names the columns; the last two are a summary. A refund is a line of its own, about the same transaction.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

import msgspec

from handlers.errors import Unavailable
from handlers.payments.company import Kind, Notice
from handlers.payments.wechat_notices import PROVIDER, Merchant, order_id_of

CHINA = dt.timezone(dt.timedelta(hours=8))
BILL_BYTES_MAX = 256 * 1024 * 1024
TRANSACTION, NUMBER, STATE, CURRENCY, AMOUNT = "微信订单号", "商户订单号", "交易状态", "货币种类", "订单金额"
MERCHANT, APPLICATION, ATTACHED = "商户号", "公众账号ID", "商户数据包"


def bill_days(since_s: int, until_s: int) -> list[str]:
    """The days, in Beijing's time, that a time touches."""
    first = dt.datetime.fromtimestamp(since_s, CHINA).date()
    last = dt.datetime.fromtimestamp(max(since_s, until_s - 1), CHINA).date()
    return [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


class _Refusal(msgspec.Struct, frozen=True):
    code: str = ""


def says_no_payments(answer: str | bytes) -> bool:
    """Whether a refusal says that the day had no payments, and not that its bill is not ready."""
    try:
        return msgspec.json.decode(answer, type=_Refusal).code == "NO_STATEMENT_EXIST"
    except msgspec.MsgspecError:
        return False


def open_bill(packed: bytes, kind: str, value: str) -> bytes:
    """Unpack a bill and compare it with the hash that the signed answer gave for it.

    Raises:
        Unavailable: it is not that bill; ask again.
    """
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(packed, BILL_BYTES_MAX)
    except zlib.error:
        raise _unreadable() from None
    # SHA-1 is the company's choice; the answer that carries the value is signed.
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if kind.upper() != "SHA1" or digest != value.lower():
        raise _unreadable()
    return content


def read_bill(content: bytes, merchant: Merchant) -> Iterator[Notice]:
    """The payments in a bill.

    Raises:
        Unavailable: it is not in the form that we know.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
        head = rows[0]
        for row in rows[1:]:
            if len(row) != len(head):
                return  # the summary begins
            line = {name: value.removeprefix("`") for name, value in zip(head, row, strict=True)}
            if line[STATE] == "SUCCESS":
                yield _notice(line, merchant)
    except (UnicodeDecodeError, csv.Error, IndexError, KeyError, InvalidOperation):
        raise _unreadable() from None


def fen(yuan: str) -> int:
    """`8.80` -> 880; InvalidOperation when it is no amount, or finer than a fen."""
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", yuan):
        raise InvalidOperation
    return int(Decimal(yuan) * 100)


def _notice(line: dict[str, str], merchant: Merchant) -> Notice:
    ours = (line[MERCHANT], line[APPLICATION]) == (merchant.merchant, merchant.application)
    return Notice(
        kind=Kind.PAID,
        provider=PROVIDER,
        mode=merchant.mode if ours else "foreign",
        order_id=order_id_of(line[NUMBER]),
        tenant=line[ATTACHED],
        amount_minor=fen(line[AMOUNT]),
        currency=line[CURRENCY].lower(),
        company_payment=line[TRANSACTION],
        receipt=line[TRANSACTION],
    )


def _unreadable() -> Unavailable:
    return Unavailable("The payment company's bill was not understood; retry later.", retry_after_s=600)

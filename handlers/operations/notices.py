"""What people read about spending: one notice for each kind of alert. Ours from the first word to the last; it holds no name.

In the china region it says the same in Chinese first, as errors do.
"""

from __future__ import annotations

from typing import NamedTuple

from handlers.catalog.entries import NANO
from handlers.clouds.mail import Notice
from handlers.store.operations import Alert

CURRENCIES = {"global": "USD", "china": "CNY"}


class Wording(NamedTuple):
    """Subject and text with places for the alert's facts."""

    subject: str
    text: str


ENGLISH = {
    "budget": Wording(
        "{percent} % of a budget is spent",
        "Of the budget of {whose}, {percent} % is spent: {spent} of {limit} {currency}.\n"
        "At 100 % its requests are refused with `402` until the period begins anew. Budgets are set with PUT /admin/budgets,\n"
        "and for a key with PATCH /admin/keys/<key_id>.\n",
    ),
    "low_balance": Wording(
        "The balance is low",
        "The balance of your account is {spent} {currency}; you asked to be told below {limit} {currency}.\n"
        "Top up at POST /payments/topups, or set an automatic top-up at PUT /payments/automatic.\n",
    ),
    "key_stopped": Wording(
        "An API key spends unusually much and is stopped",
        "The API key {subject} spent {spent} {currency} within an hour; its usual hour is {limit} {currency}. It is stopped.\n"
        "If that is right, let it go on with POST /admin/keys/{subject}/confirmation. If not, revoke it: DELETE\n"
        "/admin/keys/{subject}.\n",
    ),
}
CHINESE = {
    "budget": Wording(
        "预算已使用 {percent} %",
        "{whose} 的预算已使用 {percent} %:{spent} / {limit} {currency}。\n"
        "达到 100 % 后,其请求将被拒绝(402),直至下一周期开始。\n",
    ),
    "low_balance": Wording("余额不足", "账户余额为 {spent} {currency},低于您设定的 {limit} {currency}。请充值。\n"),
    "key_stopped": Wording(
        "API 密钥消费异常,已停用",
        "API 密钥 {subject} 一小时内消费 {spent} {currency},平常每小时为 {limit} {currency}。该密钥已停用。\n"
        "如属正常,请调用 POST /admin/keys/{subject}/confirmation 恢复;否则请吊销该密钥。\n",
    ),
}
_WHOSE = {"key": "API key {}", "user": "user {}", "tenant": "account {}"}


def notice_of(alert: Alert, address: str, region: str) -> Notice:
    """The notice of an alert to one address."""
    facts = {
        "percent": alert.percent,
        "whose": _WHOSE[alert.scope].format(alert.subject),
        "subject": alert.subject,
        "spent": _amount(alert.spent_nano),
        "limit": _amount(alert.limit_nano),
        "currency": CURRENCIES[region],
    }
    wordings = [ENGLISH[alert.kind]] if region == "global" else [CHINESE[alert.kind], ENGLISH[alert.kind]]
    return Notice(
        to=address,
        subject=f"TheRouter: {wordings[0].subject.format(**facts)}",
        text="\n".join(wording.text.format(**facts) for wording in wordings),
    )


def _amount(nano: int) -> str:
    """Nano-units as units, exact; a balance may be below zero."""
    units, rest = divmod(abs(nano), NANO)
    return f"{'-' * (nano < 0)}{units}.{rest:09}".rstrip("0").rstrip(".")

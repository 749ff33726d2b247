"""A WeChat Pay merchant account that remembers: native orders, refunds, and the notifications that follow."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from handlers.local.payments_wechat_crypto import new_nonce, seal

Body = dict[str, Any]
_CHINA = dt.timezone(dt.timedelta(hours=8))
BILL_COLUMNS = [
    "交易时间",
    "公众账号ID",
    "商户号",
    "特约商户号",
    "设备号",
    "微信订单号",
    "商户订单号",
    "用户标识",
    "交易类型",
    "交易状态",
    "付款银行",
    "货币种类",
    "应结订单金额",
    "代金券金额",
    "商品名称",
    "商户数据包",
    "手续费",
    "费率",
    "订单金额",
    "费率备注",
]
_NUMBER = re.compile(r"[0-9A-Za-z_|*-]{6,32}")


class Refused(Exception):
    """A call that WeChat Pay answers with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"code": code, "message": message}


def rfc3339(at_s: float) -> str:
    """Beijing time, as WeChat Pay writes it."""
    return dt.datetime.fromtimestamp(at_s, _CHINA).isoformat(timespec="seconds")


class WeChatState:
    """One merchant's orders.

    Args:
        merchant: the merchant id.
        application: the application id.
        api_v3_key: seals what notifications say.
        publish: takes each notification as the bytes that are to be signed and delivered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        merchant: str,
        application: str,
        api_v3_key: str,
        publish: Callable[[bytes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.orders: dict[str, Body] = {}
        self.refunds: dict[str, Body] = {}
        self.amount_shift = 0
        """Added to the amount in notifications: a fault."""
        self._merchant = merchant
        self._application = application
        self._api_v3_key = api_v3_key
        self._publish = publish
        self._clock = clock
        self._lock = threading.RLock()

    # What the API does.

    def open_native(self, params: Body) -> Body:
        """POST /v3/pay/transactions/native: the code to scan; the same order again gives its code again."""
        number = params.get("out_trade_no", "")
        amount = params.get("amount", {})
        if (params.get("mchid"), params.get("appid")) != (self._merchant, self._application):
            raise Refused(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not match")
        if not _NUMBER.fullmatch(number) or not params.get("description") or not params.get("notify_url"):
            raise Refused(400, "PARAM_ERROR", "a required parameter is missing or malformed")
        if not isinstance(amount.get("total"), int) or amount["total"] <= 0 or amount.get("currency", "CNY") != "CNY":
            raise Refused(400, "PARAM_ERROR", "amount")
        with self._lock:
            order = self.orders.get(number)
            if order is None:
                order = self.orders[number] = self._new_order(number, params)
            self._refuse_reuse(order, params)
            return {"code_url": order["code_url"]}

    def query(self, number: str) -> Body:
        """GET /v3/pay/transactions/out-trade-no/<number>."""
        return self._shown(self._order(number))

    def close(self, number: str) -> None:
        """POST /v3/pay/transactions/out-trade-no/<number>/close."""
        with self._lock:
            order = self._order(number)
            if order["trade_state"] in {"SUCCESS", "REFUND"}:
                raise Refused(400, "ORDERPAID", "the order is paid")
            order["trade_state"] = "CLOSED"

    def open_refund(self, params: Body) -> Body:
        """POST /v3/refund/domestic/refunds; at work at first, done a moment later."""
        number, amount = params.get("out_refund_no", ""), params.get("amount", {})
        with self._lock:
            order = self._order(params.get("out_trade_no", ""), missing="RESOURCE_NOT_EXISTS")
            earlier = self.refunds.get(number)
            if earlier is not None:
                if earlier["amount"]["refund"] != amount.get("refund"):
                    raise Refused(400, "PARAM_ERROR", "the refund number was used with another amount")
                return earlier
            if order["trade_state"] not in {"SUCCESS", "REFUND"}:
                raise Refused(400, "INVALID_REQUEST", "the order is not paid")
            if amount.get("total") != order["amount"]["total"]:
                raise Refused(400, "PARAM_ERROR", "total differs from the order's")
            gone = sum(
                r["amount"]["refund"] for r in self.refunds.values() if r["out_trade_no"] == order["out_trade_no"]
            )
            if not 0 < amount.get("refund", 0) <= order["amount"]["total"] - gone:
                raise Refused(400, "INVALID_REQUEST", "the refund is greater than what is left")
            refund = self.refunds[number] = self._new_refund(number, order, amount["refund"])
            order["trade_state"] = "REFUND"
            return dict(refund)

    def query_refund(self, number: str) -> Body:
        """GET /v3/refund/domestic/refunds/<number>."""
        if number not in self.refunds:
            raise Refused(404, "RESOURCE_NOT_EXISTS", "no such refund")
        return self.refunds[number]

    def trade_bill(self, day: str) -> bytes:
        """The payments of a day (Beijing's), as the CSV of GET /v3/bill/tradebill with bill_type SUCCESS."""
        paid = [o for o in self.orders.values() if str(o.get("success_time", "")).startswith(day)]
        if not paid:
            raise Refused(400, "NO_STATEMENT_EXIST", "no payments on that day")
        lines = [",".join(BILL_COLUMNS), *(",".join(f"`{value}" for value in self._bill_row(order)) for order in paid)]
        total = sum(order["amount"]["total"] for order in paid)
        lines += ["总交易单数,应结订单总金额", f"`{len(paid)},`{total / 100:.2f}"]
        return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()

    # What customers and banks do.

    def pay(self, number: str) -> Body:
        """The customer scans the code and pays."""
        with self._lock:
            order = self._order(number)
            if order["trade_state"] != "NOTPAY":
                raise Refused(400, "ORDERPAID", f"the order is {order['trade_state']}")
            now_s = self._clock()
            order |= {
                "trade_state": "SUCCESS",
                "trade_state_desc": "支付成功",
                "trade_type": "NATIVE",
                "bank_type": "OTHERS",
                "transaction_id": "42000" + "".join(secrets.choice("0123456789") for _ in range(23)),
                "success_time": rfc3339(now_s),
                "payer": {"openid": new_nonce(28)},
            }
            order["amount"] |= {"payer_total": order["amount"]["total"], "payer_currency": "CNY"}
            told = self._shown(order)
            told["amount"] = {**told["amount"], "total": told["amount"]["total"] + self.amount_shift}
            self._notify("TRANSACTION.SUCCESS", "transaction", "支付成功", told)
            return order

    def settle_refund(self, number: str, status: str = "SUCCESS") -> None:
        """The bank answers a refund: SUCCESS, ABNORMAL or CLOSED."""
        with self._lock:
            refund = self.refunds[number]
            refund["status"] = status
            told = {name: refund[name] for name in ("out_trade_no", "transaction_id", "out_refund_no", "refund_id")}
            told |= {"mchid": self._merchant, "refund_status": status, "success_time": rfc3339(self._clock())}
            told["amount"] = {name: value for name, value in refund["amount"].items() if name != "currency"}
            self._notify(f"REFUND.{status}", "refund", "退款", told)

    # How.

    def _order(self, number: str, missing: str = "ORDER_NOT_EXIST") -> Body:
        order = self.orders.get(number)
        if order is None:
            raise Refused(404, missing, "no such order")
        if order["trade_state"] == "NOTPAY" and dt.datetime.fromisoformat(order["expires"]).timestamp() < self._clock():
            order["trade_state"] = "CLOSED"
        return order

    def _new_order(self, number: str, params: Body) -> Body:
        return {
            "appid": self._application,
            "mchid": self._merchant,
            "out_trade_no": number,
            "trade_state": "NOTPAY",
            "trade_state_desc": "订单未支付",
            "attach": params.get("attach", ""),
            "amount": {"total": params["amount"]["total"], "currency": "CNY"},
            "expires": params.get("time_expire") or rfc3339(self._clock() + 7 * 86_400),
            "code_url": f"weixin://wxpay/bizpayurl?pr={new_nonce(9)}",
        }

    def _refuse_reuse(self, order: Body, params: Body) -> None:
        if order["trade_state"] in {"SUCCESS", "REFUND"}:
            raise Refused(400, "ORDERPAID", "the order is paid")
        if order["trade_state"] == "CLOSED":
            raise Refused(400, "ORDER_CLOSED", "the order is closed")
        if order["amount"]["total"] != params["amount"]["total"]:
            raise Refused(403, "OUT_TRADE_NO_USED", "the order number was used with another amount")

    def _shown(self, order: Body) -> Body:
        return {name: value for name, value in order.items() if name not in {"expires", "code_url"}}

    def _new_refund(self, number: str, order: Body, amount: int) -> Body:
        return {
            "refund_id": "50000" + "".join(secrets.choice("0123456789") for _ in range(24)),
            "out_refund_no": number,
            "transaction_id": order["transaction_id"],
            "out_trade_no": order["out_trade_no"],
            "channel": "ORIGINAL",
            "create_time": rfc3339(self._clock()),
            "status": "PROCESSING",
            "amount": {
                "total": order["amount"]["total"],
                "refund": amount,
                "payer_total": order["amount"]["total"],
                "payer_refund": amount,
                "currency": "CNY",
            },
        }

    def _bill_row(self, order: Body) -> list[str]:
        amount = f"{order['amount']['total'] / 100:.2f}"
        known = {
            "交易时间": order["success_time"][:19].replace("T", " "),
            "公众账号ID": order["appid"],
            "商户号": order["mchid"],
            "微信订单号": order["transaction_id"],
            "商户订单号": order["out_trade_no"],
            "用户标识": order["payer"]["openid"],
            "交易类型": "NATIVE",
            "交易状态": "SUCCESS",
            "付款银行": "OTHERS",
            "货币种类": "CNY",
            "应结订单金额": amount,
            "商品名称": "TheRouter credit",
            "商户数据包": order["attach"],
            "订单金额": amount,
        }
        return [known.get(column, "0.00" if column in {"代金券金额", "手续费"} else "") for column in BILL_COLUMNS]

    def _notify(self, event: str, kind: str, summary: str, content: Body) -> None:
        envelope = {
            "id": f"EV-{new_nonce(24)}",
            "create_time": rfc3339(self._clock()),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": summary,
            "resource": {"original_type": kind, **seal(self._api_v3_key, msgspec.json.encode(content), kind)},
        }
        self._publish(msgspec.json.encode(envelope))

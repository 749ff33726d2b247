"""A Stripe of our own: `python -m handlers.local.stripe_standin --port 12111 --secrets FILE --notify URL`.

Stateful, idempotent as Stripe documents it, with signed notifications and a payment page with a "Pay" and a "Decline" button.
The official `stripe` library is its client. FILE (0600) holds the merchant's keys, in the form in which the payments room reads
them; it is made when it is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from handlers.local.payments_courier import Courier, Fault
from handlers.local.payments_http import LoopbackServer, Reply, Request, json_reply
from handlers.local.payments_idempotency import IdempotencyKeys
from handlers.local.payments_pages import payment_page
from handlers.local.payments_stripe_bodies import Body, error_body, new_id
from handlers.local.payments_stripe_state import Refused, StripeState

_KEY_PART = re.compile(r"[^\[\]]+")


class Keys(NamedTuple):
    """What a merchant has; the fields of the payments room's secret."""

    secret_key: str
    webhook_secret: str


def make_keys() -> Keys:
    """Fresh keys in Stripe's manner, for test mode."""
    return Keys(f"sk_test_{secrets.token_hex(24)}", f"whsec_{secrets.token_urlsafe(32)}")


def read_form(body: bytes) -> Body:
    """Stripe's form encoding: `a[b][0][c]=d` as nested mappings and lists."""
    root: Body = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        *path, last = _KEY_PART.findall(name)
        place = root
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(item) for name, item in value.items()}
    return list(inner.values()) if inner and all(name.isdecimal() for name in inner) else inner


class Route(NamedTuple):
    """One call of the API: `work` takes the ids in the path and the parameters."""

    method: str
    pattern: str
    work: Callable[[tuple[str, ...], Body], Body]


def _routes(state: StripeState) -> tuple[Route, ...]:
    readable = {
        "customers": "customer",
        "checkout/sessions": "checkout.session",
        "payment_intents": "payment_intent",
        "payment_methods": "payment_method",
        "refunds": "refund",
        "invoices": "invoice",
        "charges": "charge",
        "disputes": "dispute",
    }

    def reader(kind: str) -> Callable[[tuple[str, ...], Body], Body]:
        return lambda ids, _: state.get(kind, ids[0])

    return (
        Route("POST", r"/v1/customers", lambda _, params: state.create_customer(params)),
        Route("POST", r"/v1/customers/(\w+)/tax_ids", lambda ids, params: state.create_tax_id(ids[0], params)),
        Route("DELETE", r"/v1/customers/(\w+)/tax_ids/(\w+)", lambda ids, _: state.delete_tax_id(ids[0], ids[1])),
        Route("POST", r"/v1/checkout/sessions", lambda _, params: state.create_session(params)),
        Route("POST", r"/v1/checkout/sessions/(\w+)/expire", lambda ids, _: state.expire_session(ids[0])),
        Route("POST", r"/v1/payment_intents", lambda _, params: state.create_payment(params)),
        Route("GET", r"/v1/payment_intents", lambda _, params: state.list_payments(params)),
        Route("POST", r"/v1/payment_intents/(\w+)/cancel", lambda ids, _: state.cancel_payment(ids[0])),
        Route("POST", r"/v1/payment_methods/(\w+)/detach", lambda ids, _: state.detach_method(ids[0])),
        Route("POST", r"/v1/refunds", lambda _, params: state.create_refund(params)),
        *(Route("GET", rf"/v1/{path}/(\w+)", reader(kind)) for path, kind in readable.items()),
    )


class StripeStandIn:
    """The server; `state` is the account behind it.

    Args:
        notify_url: where notifications go; empty: they are only kept, in `outbox`.
        fault: what the courier does wrong.
        clock: Unix seconds.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        port: int = 0,
        notify_url: str = "",
        fault: Fault = Fault.NONE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self.outbox: list[bytes] = []
        self.state = StripeState(self._publish, clock)
        self._clock = clock
        self._fault = fault
        self._idempotency = IdempotencyKeys(clock)
        self._courier = Courier(notify_url, self.sign, fault)
        self._server = LoopbackServer(self.answer, port)
        self.url = self.state.base_url = self._server.url
        self._routes = _routes(self.state)

    def start(self) -> None:
        """Serve in the background."""
        self._server.start()

    def close(self) -> None:
        """Stop."""
        self._server.close()
        self._courier.close()

    def sign(self, body: bytes, at_s: float | None = None) -> dict[str, str]:
        """The `Stripe-Signature` header for a notification sent now, or at another time."""
        timestamp = int(self._clock() if at_s is None else at_s)
        mac = hmac.new(self.keys.webhook_secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()
        return {"stripe-signature": f"t={timestamp},v1={mac}"}

    def answer(self, request: Request) -> Reply:
        """One request: a page, or an API call."""
        if request.path.startswith(("/c/pay/", "/invoices/", "/receipts/")):
            return self._page(request)
        reply = self._authorized(request)
        identity = {"Request-Id": new_id("req_", 14), "Stripe-Version": request.headers.get("stripe-version", "")}
        return reply._replace(headers={**identity, **reply.headers})

    def _publish(self, body: bytes) -> None:
        if self._fault is Fault.WRONG_AMOUNT:
            event = msgspec.json.decode(body)
            content = event["data"]["object"]
            for field in {"amount", "amount_total", "amount_received"} & content.keys():
                content[field] = (content[field] or 0) // 2
            body = msgspec.json.encode(event)
        self.outbox.append(body)
        self._courier.send(body)

    def _authorized(self, request: Request) -> Reply:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(key.encode(), self.keys.secret_key.encode()):
            return json_reply(401, error_body("invalid_request_error", "Invalid API Key provided."))
        idempotency_key = request.headers.get("idempotency-key", "")
        if request.method != "POST" or not idempotency_key:
            return self._call(request)[0]
        reply = self._idempotency.answer(
            idempotency_key, (request.method, request.path, request.body), lambda: self._call(request)
        )
        return reply._replace(headers={"Idempotency-Key": idempotency_key, **reply.headers})

    def _call(self, request: Request) -> tuple[Reply, bool]:
        form = urlsplit(request.target).query.encode() if request.method == "GET" else request.body
        for method, pattern, work in self._routes:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                try:
                    return json_reply(200, self._expand(work(match.groups(), read_form(form)), request)), True
                except Refused as refused:
                    return json_reply(refused.status, refused.body), refused.done
        complaint = f"Unrecognized request URL ({request.method}: {request.path})."
        return json_reply(404, error_body("invalid_request_error", complaint)), False

    def _expand(self, body: Body, request: Request) -> Body:
        wanted = [value for name, value in request.query if name.startswith("expand")]
        found = {name: self.state.objects.get(body.get(name) or "", body.get(name)) for name in wanted}
        return {**body, **found}

    def _page(self, request: Request) -> Reply:
        kind, identity = request.path.strip("/").rsplit("/", 1)
        name = {"c/pay": "checkout.session", "invoices": "invoice", "receipts": "charge"}[kind]
        try:
            content = self.state.get(name, identity)
        except Refused:
            return Reply(404, b"no such page", "text/plain")
        total = content.get("amount_total") or content.get("total") or content.get("amount") or 0
        amount = f"{total / 100:.2f} {content['currency'].upper()}"
        if name != "checkout.session" or content["status"] != "open":
            return payment_page("Stripe", amount, {}, "Paid." if content["status"] != "expired" else "Expired.")
        buttons = {"pay": "Pay", "decline": "Decline"}
        if request.method == "GET":
            return payment_page("Stripe", amount, buttons)
        if dict(parse_qsl(request.body.decode())).get("action") == "pay":
            self.state.pay(identity)
            return Reply(303, headers={"Location": content["success_url"]})
        self.state.decline(identity)
        return payment_page("Stripe", amount, buttons, "The card was declined. Try again.")


def keep_keys(path: Path) -> Keys:
    """The keys in a file, or fresh ones in a new file that only its owner may read."""
    if path.exists():
        return Keys(**msgspec.json.decode(path.read_bytes(), type=dict[str, str]))
    keys = make_keys()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(keys._asdict()))
    return keys


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="stripe_standin", description="A Stripe of our own, on this machine.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--secrets", type=Path, required=True, help="file of the merchant's keys")
    parser.add_argument("--notify", default="", help="where notifications go: .../payments/webhooks/stripe")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.NONE, help="what to do wrong")
    options = parser.parse_args(arguments)
    standin = StripeStandIn(
        keep_keys(options.secrets), port=options.port, notify_url=options.notify, fault=options.fault
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    standin.start()
    print(f"Stripe stand-in at {standin.url}", flush=True)
    stop.wait()
    standin.close()


if __name__ == "__main__":
    main()

from __future__ import annotations

import re

import msgspec
import pytest

from handlers.clouds.function_compute import http_event, read_answer
from tests.handlers.payments.rooms import StripeRoom, WeChatRoom, alb_event

CARD = "5555" * 3 + "4444"
ROUTES = (
    ("POST", "/payments/topups"),
    ("GET", "/payments/orders"),
    ("GET", "/payments/orders/1"),
    ("POST", "/payments/orders/1/close"),
    ("GET", "/payments/orders/1/refunds"),
    ("POST", "/payments/orders/1/refunds"),
    ("GET", "/payments/receipts"),
    ("GET", "/payments/receipts/1"),
)
WALLET_ROUTES = (
    ("GET", "/payments/methods"),
    ("DELETE", "/payments/methods/pm_1"),
    ("GET", "/payments/automatic"),
    ("PUT", "/payments/automatic"),
    ("DELETE", "/payments/automatic"),
    ("PUT", "/payments/tax-id"),
    ("DELETE", "/payments/tax-id"),
)


def test_every_route_but_the_notifications_wants_a_key(stripe_room: StripeRoom) -> None:
    for method, path in ROUTES + WALLET_ROUTES:
        for headers in (
            {},
            {"authorization": "Bearer sk-tr-x"},
            {"authorization": "Basic eDp5"},
            {"authorization": "Bearer \u00e9"},
        ):
            answer = stripe_room.send(alb_event(method, path, b"{}", headers))
            assert (answer.status, answer.content["error"]["code"]) == (401, "invalid_api_key"), (method, path)


def test_a_limited_key_may_top_up_and_look_and_no_more(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    key = tenant.limited_key
    opened = stripe_room.call(key, "POST", "/payments/topups", {"amount_minor": 500})
    assert opened.status == 201
    assert stripe_room.call(key, "GET", f"/payments/orders/{opened.content['order_id']}").status == 200
    assert stripe_room.call(key, "POST", "/payments/topups", {"amount_minor": 500, "keep_method": True}).status == 403
    for method, path, content in (
        ("POST", f"/payments/orders/{opened.content['order_id']}/refunds", {}),
        ("DELETE", "/payments/methods/pm_1", None),
        ("PUT", "/payments/automatic", {"threshold_minor": 500, "amount_minor": 500, "method": "pm_1"}),
        ("DELETE", "/payments/automatic", None),
        ("PUT", "/payments/tax-id", {"type": "eu_vat", "value": "DE123456789"}),
        ("DELETE", "/payments/tax-id", None),
    ):
        assert stripe_room.call(key, method, path, content).status == 403, (method, path)


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_a_key_of_somebody_who_does_not_administer_is_as_a_limited_one(stripe_room: StripeRoom, role: str) -> None:
    tenant = stripe_room.tenant(role)
    assert stripe_room.call(tenant.key, "DELETE", "/payments/automatic").status == 403


@pytest.mark.claim("C52")
def test_the_other_companys_routes_do_not_exist(stripe_room: StripeRoom, wechat_room: WeChatRoom) -> None:
    assert stripe_room.send(alb_event("POST", "/payments/webhooks/wechat", b"{}")).status == 404
    assert wechat_room.send(alb_event("POST", "/payments/webhooks/stripe", b"{}")).status == 404
    tenant = wechat_room.tenant()
    for method, path in WALLET_ROUTES:
        assert wechat_room.call(tenant.key, method, path, {}).status == 404
    assert (
        wechat_room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500, "keep_method": True}).status
        == 400
    )


def test_unknown_routes_and_methods_are_answered_in_our_words(stripe_room: StripeRoom) -> None:
    for method, path in (
        ("GET", "/payments"),
        ("GET", "/payments/topups"),
        ("POST", "/payments/webhooks/"),
        ("PUT", "/x"),
    ):
        answer = stripe_room.send(alb_event(method, path))
        assert (answer.status, answer.content["error"]["code"]) == (404, "not_found")


def test_answers_are_not_cached(stripe_room: StripeRoom) -> None:
    answer = stripe_room.send(alb_event("GET", "/payments/orders"))
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_that_people_come_back_to_says_nothing_about_anybody(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant)
    session = stripe_room.state.objects[stripe_room.order(opened["order_id"]).company_order]
    assert session["success_url"].startswith("https://api.therouter.example/payments/return?")
    answer = stripe_room.room.answer(alb_event("GET", "/payments/return"), None)
    assert (answer["statusCode"], answer["headers"]["content-security-policy"]) == (200, "default-src 'none'")
    assert "<form" not in answer["body"]
    assert "<script" not in answer["body"]


def test_an_event_with_multiple_header_values_is_the_same(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    event = alb_event("GET", "/payments/orders")
    del event["headers"]
    event["multiValueHeaders"] = {"authorization": [f"Bearer {tenant.key}"], "host": ["x"]}
    assert stripe_room.room.answer(event, None)["statusCode"] == 200


def test_function_computes_requests_are_the_same(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    headers = [("Authorization", f"Bearer {tenant.key}"), ("Content-Type", "application/json")]
    event = http_event("POST", "/payments/topups", "", headers, b'{"amount_minor": 700}', request_id="r")
    status, fields, body = read_answer(stripe_room.room.answer(event, None))
    assert (status, fields["cache-control"]) == (201, ["no-store"])
    assert msgspec.json.decode(body)["amount_minor"] == 700
    stripe_room.pay(msgspec.json.decode(body))
    signed = stripe_room.event("checkout.session.completed")
    event = http_event("POST", "/payments/webhooks/stripe", "", stripe_room.standin.sign(signed).items(), signed)
    assert read_answer(stripe_room.room.answer(event, None))[0] == 200
    assert stripe_room.credit_minor(tenant) == 700


def test_while_the_database_is_away_nobody_is_refused_and_notifications_come_again(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant))
    stripe_room.database.server.crash()
    try:
        assert stripe_room.call(tenant.key, "GET", "/payments/orders").status == 503
        assert stripe_room.call(tenant.limited_key, "GET", "/payments/orders").status == 503
        assert {answer.status for answer in stripe_room.deliver_all()} <= {200, 503}
        assert stripe_room.deliver(stripe_room.event("checkout.session.completed")).status == 503
    finally:
        stripe_room.database.server.start()


@pytest.mark.claim("C51", "C54")
def test_card_numbers_and_the_words_of_notifications_are_nowhere_in_the_database(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    for content in ({"amount_minor": 500, "note": CARD}, {"amount_minor": int(CARD)}, {"amount_minor": 500, CARD: 1}):
        answer = stripe_room.call(tenant.key, "POST", "/payments/topups", content)
        assert (answer.status, answer.content["error"]["code"]) == (400, "account_number_refused")
        assert CARD not in str(answer)
    marks = {"idempotency-key": CARD}
    assert stripe_room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500}, marks).status == 400
    tax = {"type": "eu_vat", "value": CARD}
    assert stripe_room.call(tenant.key, "PUT", "/payments/tax-id", tax).status == 400
    opened = stripe_room.open(tenant)
    stripe_room.pay(opened)
    for body in list(stripe_room.standin.outbox):
        event = msgspec.json.decode(body)
        event["data"]["object"] |= {
            "description": f"canary-words {CARD}",
            "customer_details": {"name": "canary-words", "email": f"{CARD}@example.com"},
            "receipt_email": "canary-words@example.com",
            "invoice": CARD,
            "latest_charge": CARD,
        }
        event["id"] = CARD
        stripe_room.deliver(msgspec.json.encode(event))
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 2_000
    stored = _everything(stripe_room)
    assert opened["order_id"] in stored
    for canary in (CARD, "canary-words", "whsec", "livemode"):
        assert canary not in stored
    # The card's last digits as a value or a word: within a random id they come by chance.
    assert not re.search(r"(?<![\w-])4242(?![\w-])", stored)


def _everything(room: StripeRoom) -> str:
    tables = room.database.query(
        "select tablename from pg_tables where schemaname = 'therouter' and tablename <> 'migration'"
    )
    rows = [room.database.query(f"select t::text from therouter.{table} t") for (table,) in tables]
    return str(rows)

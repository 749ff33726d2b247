"""The stand-in, driven by Stripe's own library; what the library believes of Stripe holds here."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import stripe

from handlers.local.payments_http import LoopbackServer, Reply, Request
from handlers.local.stripe_standin import StripeStandIn, keep_keys, make_keys, read_form
from tests.waiting import PATIENCE_S, until

SHARED = Path(os.environ.get("THEROUTER_SHARED", Path(__file__).parents[4] / "shared"))
RECORDINGS = Path(os.environ.get("THEROUTER_RECORDINGS", SHARED / "recordings")) / "stripe.jsonl.gz"


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    standin = StripeStandIn(make_keys())
    standin.start()
    yield standin
    standin.close()


@pytest.fixture
def client(standin: StripeStandIn) -> Iterator[stripe.StripeClient]:
    http = stripe.RequestsClient(timeout=20)
    yield stripe.StripeClient(
        standin.keys.secret_key, base_addresses={"api": standin.url}, max_network_retries=2, http_client=http
    )
    http.close()  # type: ignore[no-untyped-call]  # the library's own


def _session(client: stripe.StripeClient, key: str = "", **more: Any) -> stripe.checkout.Session:
    params: Any = {
        "mode": "payment",
        "client_reference_id": "order_1",
        "line_items": [
            {"quantity": 2, "price_data": {"currency": "usd", "unit_amount": 1_000, "product_data": {"name": "Credit"}}}
        ],
        "success_url": "https://example.com/done",
        "expires_at": int(time.time()) + 3_600,
        **more,
    }
    return client.v1.checkout.sessions.create(params, {"idempotency_key": key} if key else {})


def test_a_session_is_paid_on_its_page_and_notified_under_the_librarys_own_check(
    standin: StripeStandIn, client: stripe.StripeClient
) -> None:
    session = _session(client)
    assert session.url is not None
    assert session.amount_total == 2_000
    assert "20.00 USD" in httpx.get(session.url, timeout=PATIENCE_S).text
    declined = httpx.post(session.url, data={"action": "decline"}, timeout=PATIENCE_S)
    assert "declined" in declined.text
    paid = httpx.post(session.url, data={"action": "pay"}, timeout=PATIENCE_S)
    assert (paid.status_code, paid.headers["location"]) == (303, "https://example.com/done")
    again = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (again.status, again.payment_status) == ("complete", "paid")
    assert isinstance(again.payment_intent, stripe.PaymentIntent)
    assert again.payment_intent.amount_received == 2_000
    kinds = []
    for body in standin.outbox:
        event = client.construct_event(body, standin.sign(body)["stripe-signature"], standin.keys.webhook_secret)
        kinds.append(event.type)
    assert kinds == [
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    ]


def test_the_library_refuses_what_is_signed_otherwise_or_long_ago(
    standin: StripeStandIn, client: stripe.StripeClient
) -> None:
    standin.state.create_customer({})
    standin.state.pay(_session(client).id)
    body = standin.outbox[0]
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body, standin.sign(body)["stripe-signature"], make_keys().webhook_secret)
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(
            body, standin.sign(body, time.time() - 301)["stripe-signature"], standin.keys.webhook_secret
        )


def test_the_same_key_and_parameters_give_the_same_answer(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    expires_at = int(time.time()) + 3_600
    first = _session(client, "key-1", expires_at=expires_at)
    second = _session(client, "key-1", expires_at=expires_at)
    assert first.id == second.id
    assert second.last_response is not None
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert _session(client, "key-2").id != first.id
    assert len([o for o in standin.state.objects.values() if o["object"] == "checkout.session"]) == 2


def test_the_same_key_with_other_parameters_is_an_error(client: stripe.StripeClient) -> None:
    _session(client, "key-1")
    with pytest.raises(stripe.IdempotencyError) as caught:
        _session(client, "key-1", client_reference_id="order_2")
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({}, {"idempotency_key": "key-1"})


def test_a_key_used_by_several_at_once_makes_one_object(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    expires_at = int(time.time()) + 3_600

    def make(_: int) -> str:
        return _session(client, "key-1", expires_at=expires_at).id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make, range(16)))) == 1
    assert len([o for o in standin.state.objects.values() if o["object"] == "checkout.session"]) == 1


def test_a_refusal_of_parameters_is_not_remembered_and_a_decline_is(
    standin: StripeStandIn, client: stripe.StripeClient
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        _session(client, "key-1", line_items=[])
    assert _session(client, "key-1").id
    customer, method = _kept_method(standin, client)
    charge: Any = {
        "amount": 700,
        "currency": "usd",
        "customer": customer,
        "payment_method": method,
        "off_session": True,
        "confirm": True,
    }
    standin.state.decline_everything = True
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            client.v1.payment_intents.create(charge, {"idempotency_key": "key-2"})
        assert (caught.value.code, caught.value.http_status) == ("card_declined", 402)
    standin.state.decline_everything = False
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create(charge, {"idempotency_key": "key-2"})
    assert client.v1.payment_intents.create(charge, {"idempotency_key": "key-3"}).status == "succeeded"


def _kept_method(standin: StripeStandIn, client: stripe.StripeClient) -> tuple[str, str]:
    customer = client.v1.customers.create({"metadata": {"tenant": "t"}}).id
    session = _session(client, customer=customer, payment_intent_data={"setup_future_usage": "off_session"})
    standin.state.pay(session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]}).payment_intent
    assert isinstance(paid, stripe.PaymentIntent)
    assert isinstance(paid.payment_method, str)
    return customer, paid.payment_method


def test_refunds_end_where_the_payment_ends(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    session = _session(client)
    standin.state.pay(session.id)
    payment = str(client.v1.checkout.sessions.retrieve(session.id).payment_intent)
    assert client.v1.refunds.create({"payment_intent": payment, "amount": 1_500}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": payment, "amount": 501})
    refund = client.v1.refunds.create({"payment_intent": payment})
    assert refund.amount == 500
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"payment_intent": payment})
    assert caught.value.code == "charge_already_refunded"
    assert client.v1.refunds.retrieve(refund.id).id == refund.id


def test_expired_and_paid_sessions_stay_so(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    session = _session(client)
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)
    with pytest.raises(Exception, match="refused"):
        standin.state.pay(session.id)
    assert session.url is not None
    assert "Expired" in httpx.get(session.url, timeout=PATIENCE_S).text


def test_wrong_keys_and_unknown_things(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    http = stripe.RequestsClient()
    stranger = stripe.StripeClient("sk_test_1", base_addresses={"api": standin.url}, http_client=http)
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.create({})
    http.close()  # type: ignore[no-untyped-call]  # the library's own
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoices.retrieve("in_1")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_a_detached_method_pays_no_more(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    customer, method = _kept_method(standin, client)
    client.v1.payment_methods.detach(method)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(
            {"amount": 700, "currency": "usd", "customer": customer, "payment_method": method, "confirm": True}
        )


def test_form_encoding() -> None:
    body = b"a=1&b[c]=2&b[d][0][e]=3&b[d][1][e]=4&f[0]=x&g=%C3%A9"
    assert read_form(body) == {"a": "1", "b": {"c": "2", "d": [{"e": "3"}, {"e": "4"}]}, "f": ["x"], "g": "\u00e9"}


def test_the_bodies_have_the_fields_of_recorded_ones(standin: StripeStandIn, client: stripe.StripeClient) -> None:
    if not RECORDINGS.exists():
        pytest.skip(f"no recordings at {RECORDINGS}")
    customer, _ = _kept_method(standin, client)
    _session(client, customer=customer)
    ours = {body["object"]: body for body in standin.state.objects.values()}
    compared = set()
    lines = gzip.decompress(RECORDINGS.read_bytes()).splitlines()
    for recorded in (msgspec.json.decode(msgspec.json.decode(line)["body"]) for line in lines):
        if recorded["object"] in ours:
            compared.add(recorded["object"])
            assert set(recorded) - set(ours[recorded["object"]]) == set(), recorded["object"]
            for name, value in recorded.items():
                mine = ours[recorded["object"]][name]
                expanded = isinstance(value, dict) and isinstance(mine, str)
                if value is not None and mine is not None and not expanded:
                    assert type(mine) is type(value), (recorded["object"], name)
    assert compared == {"customer", "checkout.session", "payment_intent"}


def test_as_a_process_it_delivers_signed_notifications_until_they_are_taken(tmp_path: Path) -> None:
    taken: list[Request] = []

    def take(request: Request) -> Reply:
        taken.append(request)
        return Reply(500 if len(taken) == 1 else 200)

    receiver = LoopbackServer(take)
    receiver.start()
    secrets = tmp_path / "stripe"
    command = [sys.executable, "-m", "handlers.local.stripe_standin", "--port", "0", "--secrets", str(secrets)]
    process = subprocess.Popen([*command, "--notify", f"{receiver.url}/hook"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        keys = keep_keys(secrets)
        assert secrets.stat().st_mode & 0o777 == 0o600
        http = stripe.RequestsClient()
        client = stripe.StripeClient(keys.secret_key, base_addresses={"api": url}, http_client=http)
        session = _session(client)
        assert session.url is not None
        httpx.post(session.url, data={"action": "pay"}, timeout=PATIENCE_S)
        until(lambda: len(taken) >= 4)
        events = [
            client.construct_event(r.body, r.headers["stripe-signature"], keys.webhook_secret) for r in list(taken)
        ]
        assert {event.type for event in events} >= {"payment_intent.succeeded", "checkout.session.completed"}
        assert len(events) > len({event.id for event in events})  # the first one was refused, and came again
        http.close()  # type: ignore[no-untyped-call]  # the library's own
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        process.stdout.close()
        receiver.close()

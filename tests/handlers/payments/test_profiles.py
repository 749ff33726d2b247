from __future__ import annotations

import httpx
import pytest

from tests.handlers.payments.rooms import StripeRoom, Tenant, WeChatRoom


def _with_method(room: StripeRoom) -> tuple[Tenant, str]:
    tenant = room.tenant()
    room.pay(room.open(tenant, 1_000, keep_method=True))
    room.deliver_all()
    (method,) = room.call(tenant.key, "GET", "/payments/methods").content["methods"]
    return tenant, method


def test_a_method_is_kept_only_when_the_customer_agreed(stripe_room: StripeRoom) -> None:
    _, method = _with_method(stripe_room)
    assert method.startswith("pm_")
    other = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(other))
    stripe_room.deliver_all()
    assert stripe_room.call(other.key, "GET", "/payments/methods").content["methods"] == []


@pytest.mark.claim("C54")
def test_only_the_methods_id_is_kept(stripe_room: StripeRoom) -> None:
    _with_method(stripe_room)
    columns = stripe_room.database.query(
        "select column_name from information_schema.columns where table_name = 'payment_method' order by 1"
    )
    assert [name for (name,) in columns] == ["created_at", "method_id", "provider", "tenant_id"]


def test_a_removed_method_is_forgotten_everywhere_and_its_standing_order_ends(stripe_room: StripeRoom) -> None:
    tenant, method = _with_method(stripe_room)
    standing = {"threshold_minor": 5_000, "amount_minor": 3_000, "method": method}
    assert stripe_room.call(tenant.key, "PUT", "/payments/automatic", standing).status == 200
    other = stripe_room.tenant()
    assert stripe_room.call(other.key, "DELETE", f"/payments/methods/{method}").status == 404
    assert stripe_room.call(other.key, "PUT", "/payments/automatic", standing).status == 404
    assert stripe_room.call(tenant.key, "DELETE", f"/payments/methods/{method}").status == 204
    assert stripe_room.call(tenant.key, "GET", "/payments/automatic").content["automatic_amount_minor"] == 0
    assert stripe_room.state.objects[method]["customer"] is None
    assert stripe_room.call(tenant.key, "DELETE", f"/payments/methods/{method}").status == 404
    assert stripe_room.room.questions.run().charged == 0


def test_a_standing_order_can_be_ended(stripe_room: StripeRoom) -> None:
    tenant, method = _with_method(stripe_room)
    standing = {"threshold_minor": 5_000, "amount_minor": 3_000, "method": method}
    stripe_room.call(tenant.key, "PUT", "/payments/automatic", standing)
    ended = stripe_room.call(tenant.key, "DELETE", "/payments/automatic")
    assert (ended.status, ended.content["automatic_amount_minor"]) == (200, 0)
    assert stripe_room.room.questions.run().charged == 0


@pytest.mark.parametrize("method", ["", "pm_", "card_1", "pm_1; drop", "x" * 300])
def test_a_method_has_the_form_of_one(stripe_room: StripeRoom, method: str) -> None:
    tenant = stripe_room.tenant()
    standing = {"threshold_minor": 500, "amount_minor": 500, "method": method}
    answer = stripe_room.call(tenant.key, "PUT", "/payments/automatic", standing)
    assert (answer.status, answer.content["error"]["param"]) == (400, "method")


def test_a_tax_id_goes_to_the_company_and_only_its_id_stays(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    first = stripe_room.call(tenant.key, "PUT", "/payments/tax-id", {"type": "eu_vat", "value": "DE123456789"})
    assert first.status == 200
    kept = stripe_room.state.objects[first.content["tax_id"]]
    assert (kept["type"], kept["value"], kept["customer"]) == ("eu_vat", "DE123456789", first.content["customer"])
    second = stripe_room.call(tenant.key, "PUT", "/payments/tax-id", {"type": "us_ein", "value": "12-3456789"})
    assert first.content["tax_id"] not in stripe_room.state.objects
    assert stripe_room.database.query("select tax_id from therouter.payment_profile") == [[second.content["tax_id"]]]
    gone = stripe_room.call(tenant.key, "DELETE", "/payments/tax-id")
    assert gone.content["tax_id"] == ""
    assert second.content["tax_id"] not in stripe_room.state.objects


def test_a_tax_id_that_the_company_refuses_is_refused(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    answer = stripe_room.call(tenant.key, "PUT", "/payments/tax-id", {"type": "eu_vat", "value": "123456789"})
    assert (answer.status, answer.content["error"]["code"]) == (400, "refused")
    assert stripe_room.store.profile(tenant.tenant_id).tax_id == ""


def test_receipts_are_listed_and_lead_to_the_companys_page(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_234)
    stripe_room.pay(opened)
    stripe_room.deliver_all()
    receipts = stripe_room.call(tenant.key, "GET", "/payments/receipts").content["receipts"]
    assert {(r["order_id"], r["amount_minor"], r["currency"]) for r in receipts} == {(opened["order_id"], 1_234, "usd")}
    assert {r["receipt_id"][:3] for r in receipts} == {"in_", "ch_"}
    other = stripe_room.tenant()
    for receipt in receipts:
        path = f"/payments/receipts/{receipt['receipt_id']}"
        shown = stripe_room.call(tenant.key, "GET", path)
        assert "12.34 USD" in httpx.get(shown.content["url"]).text
        assert stripe_room.call(other.key, "GET", path).status == 404


def test_a_wechat_receipt_is_the_transactions_id(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    wechat_room.pay(opened)
    wechat_room.deliver(wechat_room.standin.outbox[-1])
    (receipt,) = wechat_room.call(tenant.key, "GET", "/payments/receipts").content["receipts"]
    number = opened["order_id"].replace("-", "")
    assert receipt["receipt_id"] == wechat_room.state.orders[number]["transaction_id"]
    assert wechat_room.call(tenant.key, "GET", f"/payments/receipts/{receipt['receipt_id']}").content["url"] == ""


def test_a_tenant_has_one_customer_record(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    for _ in range(3):
        stripe_room.open(tenant)
    customers = [o for o in stripe_room.state.objects.values() if o["object"] == "customer"]
    assert [customer["metadata"] for customer in customers] == [{"tenant": tenant.tenant_id}]
    assert {customer["email"] for customer in customers} == {None}

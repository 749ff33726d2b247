"""The shapes of Stripe's objects, field for field as its API answers them (version 2025-11-17 and later).

Only values that a payment gives are passed in; everything else has the value that Stripe gives to a merchant who has configured
nothing.
"""

from __future__ import annotations

import secrets
import string
from typing import Any

Body = dict[str, Any]
API_VERSION = "2026-10-28.endive"
_LETTERS = string.ascii_letters + string.digits
_NO_ADDRESS: Body = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))

_SESSION_DEFAULTS: Body = {
    **dict.fromkeys(
        (
            "after_expiration",
            "allow_promotion_codes",
            "billing_address_collection",
            "client_secret",
            "consent",
            "consent_collection",
            "currency_conversion",
            "customer_account",
            "customer_creation",
            "customer_details",
            "customer_email",
            "invoice",
            "locale",
            "origin_context",
            "payment_intent",
            "payment_link",
            "payment_method_configuration_details",
            "permissions",
            "recovered_from",
            "saved_payment_method_options",
            "setup_intent",
            "shipping_address_collection",
            "shipping_cost",
            "submit_type",
            "subscription",
            "wallet_options",
        )
    ),
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "branding_settings": {
        "background_color": "#ffffff",
        "border_style": "rounded",
        "button_color": "#0074d4",
        "display_name": "",
        "font_family": "default",
        "icon": None,
        "logo": None,
    },
    "collected_information": dict.fromkeys(("business_name", "individual_name", "shipping_details")),
    "custom_fields": [],
    "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
    "discounts": [],
    "livemode": False,
    "mode": "payment",
    "payment_method_collection": "if_required",
    "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
    "payment_method_types": ["card"],
    "payment_status": "unpaid",
    "phone_number_collection": {"enabled": False},
    "shipping_options": [],
    "status": "open",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    "ui_mode": "hosted",
}


def new_id(prefix: str, length: int = 24) -> str:
    """An id in Stripe's manner: the prefix, and letters and digits."""
    return f"{prefix}{''.join(secrets.choice(_LETTERS) for _ in range(length))}"


def error_body(kind: str, message: str, *, code: str | None = None, param: str | None = None) -> Body:
    """An error: `type`, `message`, and `code` and `param` where there are any."""
    fields = {"code": code, "message": message, "param": param, "type": kind}
    return {"error": {name: value for name, value in fields.items() if value is not None}}


def customer_body(now_s: int, metadata: Body, email: str | None) -> Body:
    """A customer."""
    return {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now_s,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": dict.fromkeys(("custom_fields", "default_payment_method", "footer", "rendering_options")),
        "livemode": False,
        "metadata": metadata,
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def tax_id_body(now_s: int, customer: str, kind: str, value: str) -> Body:
    """A customer's tax id."""
    return {
        "id": new_id("txi_"),
        "object": "tax_id",
        "country": kind[:2].upper(),
        "created": now_s,
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "owner": {"customer": customer, "type": "customer"},
        "type": kind,
        "value": value,
        "verification": {"status": "pending", "verified_address": None, "verified_name": None},
    }


def method_body(now_s: int, customer: str | None) -> Body:
    """A card that was entered on the payment page; its number is never known here."""
    return {
        "id": new_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": {
            "address": _NO_ADDRESS,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "card": {
            "brand": "visa",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": "visa",
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": new_id("", 16),
            "funding": "credit",
            "generated_from": None,
            "last4": "4242",
            "networks": {"available": ["visa"], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": now_s,
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def session_body(now_s: int, params: Body, base_url: str) -> Body:
    """A checkout session in payment mode, hosted."""
    identity = new_id("cs_test_", 58)
    lines = params["line_items"]
    total = sum(int(line["price_data"]["unit_amount"]) * int(line["quantity"]) for line in lines)
    return {
        "id": identity,
        "object": "checkout.session",
        **_SESSION_DEFAULTS,
        "adaptive_pricing": {"enabled": params.get("adaptive_pricing", {}).get("enabled", "true") == "true"},
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now_s,
        "currency": lines[0]["price_data"]["currency"],
        "customer": params.get("customer"),
        "expires_at": int(params.get("expires_at", now_s + 86_400)),
        "invoice_creation": {
            "enabled": params.get("invoice_creation", {}).get("enabled") == "true",
            "invoice_data": {"metadata": {}},
        },
        "metadata": params.get("metadata", {}),
        "success_url": params.get("success_url"),
        "url": f"{base_url}/c/pay/{identity}",
    }


def payment_body(
    now_s: int, *, amount: int, currency: str, customer: str | None, metadata: Body, keep: str | None
) -> Body:
    """A payment intent before it is confirmed."""
    return {
        "id": new_id("pi_3S", 22),
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": now_s,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": keep,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge_body(now_s: int, payment: Body, base_url: str) -> Body:
    """The charge of a payment intent that succeeded."""
    identity = new_id("ch_3S", 22)
    return {
        "id": identity,
        "object": "charge",
        "amount": payment["amount"],
        "amount_captured": payment["amount"],
        "amount_refunded": 0,
        "captured": True,
        "created": now_s,
        "currency": payment["currency"],
        "customer": payment["customer"],
        "disputed": False,
        "livemode": False,
        "metadata": payment["metadata"],
        "paid": True,
        "payment_intent": payment["id"],
        "payment_method": payment["payment_method"],
        "receipt_url": f"{base_url}/receipts/{identity}",
        "refunded": False,
        "status": "succeeded",
    }


def invoice_body(now_s: int, session: Body, base_url: str) -> Body:
    """The paid invoice of a checkout."""
    identity = new_id("in_1S", 22)
    return {
        "id": identity,
        "object": "invoice",
        "amount_due": session["amount_total"],
        "amount_paid": session["amount_total"],
        "amount_remaining": 0,
        "created": now_s,
        "currency": session["currency"],
        "customer": session["customer"],
        "hosted_invoice_url": f"{base_url}/invoices/{identity}",
        "livemode": False,
        "metadata": {},
        "number": new_id("", 8).upper() + "-0001",
        "status": "paid",
        "total": session["amount_total"],
    }


def refund_body(now_s: int, payment: Body, amount: int, metadata: Body) -> Body:
    """A refund that succeeded at once, as refunds to test cards do."""
    return {
        "id": new_id("re_3S", 22),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": payment["latest_charge"],
        "created": now_s,
        "currency": payment["currency"],
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        "metadata": metadata,
        "payment_intent": payment["id"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute_body(now_s: int, payment: Body) -> Body:
    """A bank takes the money back."""
    return {
        "id": new_id("du_1S", 22),
        "object": "dispute",
        "amount": payment["amount"],
        "balance_transactions": [],
        "charge": payment["latest_charge"],
        "created": now_s,
        "currency": payment["currency"],
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": payment["id"],
        "reason": "fraudulent",
        "status": "needs_response",
    }


def event_body(now_s: int, kind: str, content: Body) -> Body:
    """An event with a snapshot of its object."""
    return {
        "id": new_id("evt_1S", 22),
        "object": "event",
        "api_version": API_VERSION,
        "created": now_s,
        "data": {"object": content},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }

"""The routes of the room, the same behind an ALB, on one machine and in Function Compute.

POST   /payments/topups                    begin; answers where to pay
GET    /payments/orders                    GET /payments/orders/<id>       POST /payments/orders/<id>/close
GET    /payments/orders/<id>/refunds       POST the same: send money back
GET    /payments/receipts                  GET /payments/receipts/<id>
POST   /payments/webhooks/<company>        notifications; the signature is the authentication
only where the company keeps things for a tenant (Stripe):
GET    /payments/methods                   DELETE /payments/methods/<id>
GET    /payments/automatic                 PUT, DELETE the same
PUT    /payments/tax-id                    DELETE the same
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from handlers.clouds.alb import read_body, read_headers
from handlers.clouds.resolver import IsolatedResolver
from handlers.errors import ClientError, NotFound, TheRouterError, Unavailable
from handlers.messages import told
from handlers.payments.authentication import Authenticator, Customer
from handlers.payments.company import NOTIFICATION_BYTES_MAX, Company, Notice
from handlers.payments.intake import Intake
from handlers.payments.profiles import Profiles, StandingOrder, TaxId
from handlers.payments.reading import BODY_BYTES_MAX, read_json, read_request_key
from handlers.payments.topups import RefundRequest, TopUp, TopUps
from handlers.store.restoration import RestoreGate
from handlers.telemetry.logs import Log, Room

_JSON = "application/json"
_PAGE = (Path(__file__).parent / "return.html").read_text(encoding="utf-8")
"""In both languages: one page serves both regions."""


def answer(status: int, content: object) -> Response[str]:
    """A JSON answer that nobody caches."""
    body = "" if status == 204 else msgspec.json.encode(content).decode()
    return Response(status, _JSON, body, headers={"cache-control": "no-store", "x-content-type-options": "nosniff"})


def page() -> Response[str]:
    """The page that people come back to: no script, no form."""
    headers = {
        "content-security-policy": "default-src 'none'",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
    }
    return Response(200, "text/html; charset=utf-8", _PAGE, headers=headers)


def refusal(error: TheRouterError) -> Response[str]:
    """An error in our own words."""
    fields = {"code": error.code, "message": told(error), "param": error.param, **error.detail}
    response = answer(
        error.http_status, {"error": {name: value for name, value in fields.items() if value is not None}}
    )
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(error.retry_after_s)
    return response


class _Calls:
    """What the routes read from the event that their thread serves."""

    def __init__(self, resolver: IsolatedResolver, authenticator: Authenticator, gate: RestoreGate) -> None:
        self._resolver = resolver
        self._authenticator = authenticator
        self._gate = gate

    def headers(self) -> dict[str, str]:
        return read_headers(self._resolver.current_event.raw_event)

    def body(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        return read_body(self._resolver.current_event.raw_event, bytes_max)

    def customer(self) -> Customer:
        self._gate.check()
        return self._authenticator.authenticate(self.headers())

    def notification(self, company: Company) -> Notice:
        """Raises Unavailable while the database is one that was put back: the company sends it again, for a day at least."""
        self._gate.check()
        return company.read_notification(self.headers(), self.body(NOTIFICATION_BYTES_MAX))

    def request_key(self) -> str:
        return read_request_key(self.headers())


def open_resolver(
    *,
    company: Company,
    intake: Intake,
    topups: TopUps,
    profiles: Profiles,
    wallet: bool,
    authenticator: Authenticator,
    gate: RestoreGate,
    log: Log,
) -> IsolatedResolver:
    """The resolver with all routes that this company has."""
    resolver = IsolatedResolver()
    calls = _Calls(resolver, authenticator, gate)
    _add_orders(resolver, calls, topups)
    _add_receipts(resolver, calls, profiles)
    _add_notifications(resolver, calls, company, intake)
    _add_return(resolver)
    if wallet:
        _add_wallet(resolver, calls, profiles)
    _add_errors(resolver, log)
    return resolver


def _add_orders(resolver: IsolatedResolver, calls: _Calls, topups: TopUps) -> None:
    @resolver.post("/payments/topups")
    def open_topup() -> Response[str]:
        customer = calls.customer()
        return answer(201, topups.open(customer, read_json(calls.body(), TopUp), calls.request_key()))

    @resolver.get("/payments/orders")
    def list_orders() -> Response[str]:
        return answer(200, {"orders": topups.orders(calls.customer())})

    @resolver.get("/payments/orders/<order_id>")
    def show_order(order_id: str) -> Response[str]:
        return answer(200, topups.show(calls.customer(), order_id))

    @resolver.post("/payments/orders/<order_id>/close")
    def close_order(order_id: str) -> Response[str]:
        return answer(200, topups.close(calls.customer(), order_id))

    @resolver.get("/payments/orders/<order_id>/refunds")
    def list_refunds(order_id: str) -> Response[str]:
        return answer(200, {"refunds": topups.refunds(calls.customer(), order_id)})

    @resolver.post("/payments/orders/<order_id>/refunds")
    def open_refund(order_id: str) -> Response[str]:
        customer = calls.customer()
        request = read_json(calls.body(), RefundRequest)
        return answer(201, topups.refund(customer, order_id, request, calls.request_key()))


def _add_receipts(resolver: IsolatedResolver, calls: _Calls, profiles: Profiles) -> None:
    @resolver.get("/payments/receipts")
    def list_receipts() -> Response[str]:
        return answer(200, {"receipts": profiles.receipts(calls.customer())})

    @resolver.get("/payments/receipts/<receipt_id>")
    def show_receipt(receipt_id: str) -> Response[str]:
        return answer(200, profiles.receipt(calls.customer(), receipt_id))


def _add_notifications(resolver: IsolatedResolver, calls: _Calls, company: Company, intake: Intake) -> None:
    @resolver.post(f"/payments/webhooks/{company.provider}")
    def take_notification() -> Response[str]:
        # What contradicts an order is recorded and answered 200: sending it again would change nothing.
        return answer(200, {"code": "SUCCESS", "outcome": intake.apply(calls.notification(company))})


def _add_return(resolver: IsolatedResolver) -> None:
    @resolver.get("/payments/return")
    def come_back() -> Response[str]:
        return page()


def _add_wallet(resolver: IsolatedResolver, calls: _Calls, profiles: Profiles) -> None:
    @resolver.get("/payments/methods")
    def list_methods() -> Response[str]:
        return answer(200, {"methods": profiles.methods(calls.customer())})

    @resolver.delete("/payments/methods/<method>")
    def remove_method(method: str) -> Response[str]:
        profiles.remove_method(calls.customer(), method)
        return answer(204, None)

    @resolver.get("/payments/automatic")
    def show_automatic() -> Response[str]:
        return answer(200, profiles.standing(calls.customer()))

    @resolver.put("/payments/automatic")
    def set_automatic() -> Response[str]:
        customer = calls.customer()
        return answer(200, profiles.set_standing(customer, read_json(calls.body(), StandingOrder)))

    @resolver.delete("/payments/automatic")
    def end_automatic() -> Response[str]:
        return answer(200, profiles.end_standing(calls.customer()))

    @resolver.put("/payments/tax-id")
    def set_tax_id() -> Response[str]:
        customer = calls.customer()
        return answer(200, profiles.set_tax_id(customer, read_json(calls.body(), TaxId)))

    @resolver.delete("/payments/tax-id")
    def remove_tax_id() -> Response[str]:
        return answer(200, profiles.remove_tax_id(calls.customer()))


def _add_errors(resolver: IsolatedResolver, log: Log) -> None:
    def no_route(_: NotFoundError) -> Response[str]:
        return refusal(NotFound("There is no such route; see /docs for those that there are."))

    def refuse(error: TheRouterError) -> Response[str]:
        if not isinstance(error, ClientError | Unavailable):
            log.fault(Room.PAYMENTS, error)
        return refusal(error)

    def confess(error: Exception) -> Response[str]:
        log.fault(Room.PAYMENTS, error)
        return refusal(TheRouterError("The request could not be served; the fault is ours and has been noted."))

    resolver.exception_handler(NotFoundError)(no_route)
    resolver.exception_handler(TheRouterError)(refuse)
    resolver.exception_handler(Exception)(confess)

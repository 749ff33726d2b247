"""The payments room over a real database, a real stand-in and the companies' own libraries; only time is made up."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import BcryptPool, hash_secret
from handlers.keys.principal import KeyLimits
from handlers.keys.verification import KeyVerifier
from handlers.local.stripe_standin import StripeStandIn, make_keys
from handlers.local.wechat_standin import Account, WeChatStandIn, make_account
from handlers.payments.authentication import KeyAuthenticator
from handlers.payments.composition import Room, open_company, open_room
from handlers.settings import Deployment
from handlers.store.admin import AdminStore, TenantListing
from handlers.store.payments import Order, PaymentStore
from handlers.store.restoration import RestoreGate, Watch
from handlers.telemetry.logs import Log
from tests.database import Database

DAY_S = 86_400
MINT_KEYS = MintKeys({"1": bytes(range(32))}, "1")
_ACCOUNTS: dict[bool, Account] = {}


class Clock:
    """Unix seconds that a test may move."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Answer(NamedTuple):
    """What the room answered."""

    status: int
    content: dict[str, Any]
    headers: dict[str, str]


class Tenant(NamedTuple):
    """A tenant and its keys."""

    tenant_id: str
    key: str
    """Of an owner, without limits."""
    limited_key: str


def alb_event(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The event of an ALB; what is not text comes as base64."""
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(body).decode(), True
    return {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:0:targetgroup/payments/0"}
        },
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": {"host": "api.therouter.example", **(headers or {})},
        "body": text,
        "isBase64Encoded": encoded,
    }


class PaymentsRoom:
    """One region's room with everything around it."""

    region: str
    standin: StripeStandIn | WeChatStandIn

    def __init__(self, database: Database, room: Room, clock: Clock, standin: StripeStandIn | WeChatStandIn) -> None:
        self.database = database
        self.room = room
        self.clock = clock
        self.standin = standin
        self.store = PaymentStore(database.pool("payments", connections_max=8))
        self.admin = AdminStore(database.pool("founder"))

    def tenant(self, role: str = "owner") -> Tenant:
        """A tenant with a user of this role, and two keys."""
        tenant, user = str(uuid.uuid4()), str(uuid.uuid4())
        self.admin.create_tenant(tenant, "Example")
        self.admin.create_user(user, tenant, f"{user}@example.com", role)
        keys = []
        for limits in (KeyLimits(), KeyLimits(requests_per_minute=60)):
            minted = generate_key(self.region, "local", MINT_KEYS)
            self.admin.create_key(minted.key_id, tenant, user, "key", hash_secret(minted.secret, cost=4), limits=limits)
            keys.append(minted.token)
        return Tenant(tenant, *keys)

    @property
    def state(self) -> Any:
        return self.standin.state

    def send(self, event: Mapping[str, Any]) -> Answer:
        """One event through the deployed entry's own code."""
        answer = self.room.answer(event, None)
        body = answer["body"]
        return Answer(answer["statusCode"], msgspec.json.decode(body) if body else {}, answer.get("headers", {}))

    def call(
        self, key: str, method: str, path: str, content: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A customer's request."""
        body = b"" if content is None else msgspec.json.encode(content)
        marks = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
        return self.send(alb_event(method, path, body, marks))

    def notify(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A company's notification."""
        company = "stripe" if self.region == "global" else "wechat"
        return self.send(alb_event("POST", f"/payments/webhooks/{company}", body, headers))

    def deliver(self, body: bytes, at_s: float | None = None) -> Answer:
        """One notification, signed now or at another time."""
        return self.notify(body, self.standin.sign(body, at_s))

    def deliver_all(self) -> list[Answer]:
        """Everything that the company has to say, in order."""
        return [self.deliver(body) for body in self.standin.outbox]

    def open(self, tenant: Tenant, amount_minor: int = 2_000, **more: object) -> dict[str, Any]:
        """A top-up that is to be paid."""
        answer = self.call(tenant.key, "POST", "/payments/topups", {"amount_minor": amount_minor, **more})
        assert answer.status == 201, answer
        return answer.content

    def order(self, order_id: str) -> Order:
        order = self.store.find_order(order_id)
        assert order is not None
        return order

    def account(self, tenant: Tenant) -> TenantListing:
        """The tenant as its operator sees it."""
        (listing,) = (row for row in self.admin.list_tenants() if row.tenant_id == tenant.tenant_id)
        return listing

    def credit_minor(self, tenant: Tenant) -> int:
        """The balance in minor units, exactly."""
        minor, rest = divmod(self.account(tenant).balance_nano, 10**7)
        assert rest == 0
        return minor

    def age(self, seconds: int) -> None:
        """Make every order and refund older, in the database's own time."""
        for table in ("payment_order", "payment_refund"):
            self.database.query(
                f"update therouter.{table} set created_at = created_at - make_interval(secs => :s), "
                "checked_at = checked_at - make_interval(secs => :s)",
                s=seconds,
            )
        self.database.query(
            "update therouter.payment_order set expires_at = expires_at - make_interval(secs => :s)", s=seconds
        )

    def ledger_is_exact(self) -> bool:
        """Every sum of the ledger agrees, and the ledger with the orders."""
        differences = self.database.query("select difference_nano from therouter.ledger_check()")
        (paid,) = self.database.query(
            "select coalesce(sum(amount_minor), 0) * 10000000 from therouter.payment_order where state in ('paid', 'refunded')"
        )
        (topped,) = self.database.query(
            "select coalesce(sum(amount_nano), 0) from therouter.entry where kind = 'topup' and tenant_id is not null "
            "and txn_key not like '%:returned:%' and txn_key not like '%:won:%'"
        )
        return all(difference == 0 for (difference,) in differences) and paid == topped


class StripeRoom(PaymentsRoom):
    """The global room and its Stripe."""

    region = "global"
    standin: StripeStandIn

    def pay(self, opened: Mapping[str, Any]) -> None:
        """The customer pays on the page."""
        self.state.pay(self.order(opened["order_id"]).company_order)

    def event(self, kind: str) -> bytes:
        """The last notification of this type."""
        return next(b for b in reversed(self.standin.outbox) if msgspec.json.decode(b)["type"] == kind)


class WeChatRoom(PaymentsRoom):
    """The china room and its WeChat Pay."""

    region = "china"
    standin: WeChatStandIn

    def pay(self, opened: Mapping[str, Any]) -> None:
        """The customer scans the code and pays."""
        self.state.pay(opened["order_id"].replace("-", ""))


def _deployment(region: str) -> Deployment:
    return Deployment.parse({"THEROUTER_REGION": region, "THEROUTER_CLOUD": "local"})


@contextmanager
def _open(database: Database, region: str, secrets: tuple[Any, ...], url: str, clock: Clock) -> Iterator[Room]:
    content = msgspec.json.encode(secrets._asdict())  # type: ignore[attr-defined]  # a named tuple of either company
    company, wallet = open_company(
        _deployment(region), lambda _: content, public_url="https://api.therouter.example", base_url=url, clock=clock
    )
    pool = database.pool("payments", connections_max=8)
    store = PaymentStore(pool)
    bcrypt_pool = BcryptPool(deadline_s=30)
    verifier = KeyVerifier(
        find_key=store.find_key, bcrypt_pool=bcrypt_pool, mint_keys=MINT_KEYS, region=region, environment="local"
    )
    authenticator = KeyAuthenticator(verifier, store.role)
    try:
        gate = RestoreGate(Watch(pool), authenticator.verifier)
        yield open_room(store, company, wallet, authenticator, gate, mode="test", log=Log(descriptor=-1), clock=clock)
    finally:
        authenticator.close()
        bcrypt_pool.close()


@contextmanager
def open_stripe_room(database: Database) -> Iterator[StripeRoom]:
    """The global region."""
    clock = Clock()
    standin = StripeStandIn(make_keys(), clock=clock)
    standin.start()
    try:
        with _open(database, "global", standin.keys, standin.url, clock) as room:
            yield StripeRoom(database, room, clock, standin)
    finally:
        standin.close()


@contextmanager
def open_wechat_room(database: Database, *, public_key_mode: bool = False) -> Iterator[WeChatRoom]:
    """The china region, in one of its two modes of trust."""
    if public_key_mode not in _ACCOUNTS:
        _ACCOUNTS[public_key_mode] = make_account(public_key_mode=public_key_mode)
    clock = Clock()
    standin = WeChatStandIn(_ACCOUNTS[public_key_mode], clock=clock)
    standin.start()
    try:
        with _open(database, "china", standin.secrets, standin.url, clock) as room:
            yield WeChatRoom(database, room, clock, standin)
    finally:
        standin.close()

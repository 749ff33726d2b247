"""The admin room over a real database, with two tenants and somebody of each role in both."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from handlers.admin.cookies import Cookies
from handlers.admin.identity import Issuer
from handlers.admin.room import Room
from handlers.admin.routing import open_resolver
from handlers.admin.scanning import Scanner
from handlers.clouds.mail import Mailbox, NoMailbox
from handlers.keys.digests import DigestKeys
from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import BcryptPool, hash_secret
from handlers.keys.sealing import SealingKey, generate_keypair
from handlers.keys.verification import KeyVerifier
from handlers.keys.waiting import WaitingVerifier
from handlers.store.admin import AdminStore
from handlers.store.control import ControlStore
from handlers.store.gateway import GatewayStore
from handlers.store.restoration import RestoreGate, Watch
from handlers.telemetry.logs import Level, Log
from tests.database import Database

ROLES = ("owner", "admin", "billing", "member", "viewer", "auditor")
PROVIDERS = ("openai", "anthropic")


class Reply(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


class Person(msgspec.Struct, frozen=True):
    """A user and a management key of theirs."""

    user_id: str
    token: str
    key_id: str


class House:
    """The room and the people who come to it."""

    def __init__(
        self,
        database: Database,
        issuer: Issuer | None = None,
        scanner: Scanner | None = None,
        mailbox: Mailbox | None = None,
        bcrypt_pool: BcryptPool | None = None,
    ) -> None:
        self.database = database
        self.mint_keys = MintKeys({"1": secrets.token_bytes(32)}, "1")
        pairs = {provider: generate_keypair() for provider in PROVIDERS}
        self.private_keys = {provider: private for provider, (private, _) in pairs.items()}
        pool = database.pool("admin", connections_max=8)
        self.store = AdminStore(database.pool("founder"))
        verifier = WaitingVerifier(
            KeyVerifier(
                find_key=GatewayStore(pool, pod="admin").find_key,
                bcrypt_pool=bcrypt_pool or BcryptPool(),
                mint_keys=self.mint_keys,
                region="global",
                environment="local",
            )
        )
        self.room = Room(
            region="global",
            environment="local",
            public_url="http://127.0.0.1",
            store=ControlStore(pool),
            verifier=verifier,
            gate=RestoreGate(Watch(pool), verifier),
            mint_keys=self.mint_keys,
            sealing_keys={provider: SealingKey(1, public) for provider, (_, public) in pairs.items()},
            digests=DigestKeys(1, {1: secrets.token_bytes(32)}),
            log=Log(Level.ERROR),
            cookies=Cookies(secure=False),
            issuer=issuer,
            scanner=scanner,
            mailbox=mailbox or NoMailbox(),
        )
        self._resolver = open_resolver(self.room)
        self.tenants = {name: str(uuid.uuid4()) for name in ("mine", "other")}
        self.people: dict[tuple[str, str], Person] = {}
        for name, tenant in self.tenants.items():
            self.store.create_tenant(tenant, name)
            for role in ROLES:
                self.people[name, role] = self._admit(tenant, role)

    def _admit(self, tenant: str, role: str) -> Person:
        user = str(uuid.uuid4())
        self.store.create_user(user, tenant, f"{role}@{tenant}.example", role)
        made = generate_key("global", "local", self.mint_keys)
        self.store.create_key(made.key_id, tenant, user, f"{role}'s", hash_secret(made.secret, cost=4))
        self.database.query(
            "update therouter.api_key set management = true, role = :role where key_id = :id", role=role, id=made.key_id
        )
        return Person(user, made.token, made.key_id)

    def reopen(self) -> None:
        """Answer with the room as it is now."""
        self._resolver = open_resolver(self.room)

    def token(self, role: str = "owner", tenant: str = "mine") -> str:
        """A management key."""
        return self.people[tenant, role].token

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        role: str = "owner",
        tenant: str = "mine",
        token: str | None = None,
        query: dict[str, str] | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request."""
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        key = self.token(role, tenant) if token is None else token
        event = {
            "requestContext": {"elb": {}},
            "httpMethod": method,
            "path": path,
            "queryStringParameters": query or {},
            "headers": {"host": "t", **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})},
            "body": content.decode("utf-8", "surrogateescape") if raw is None else content.decode("latin-1"),
            "isBase64Encoded": False,
        }
        answer = self._resolver.resolve(event, None)
        given = {
            **(answer.get("headers") or {}),
            **{k: v[0] for k, v in (answer.get("multiValueHeaders") or {}).items()},
        }
        return Reply(answer["statusCode"], answer["body"], {k.lower(): str(v) for k, v in given.items()})

    def export(self, tenant: str = "mine") -> list[bytes]:
        """The lines of the audit trail's export, page by page."""
        lines: list[bytes] = []
        after, page = 0, [b""]
        while page:
            query = {"after": str(after), "limit": "7"}
            text = self.ask("GET", "/admin/audit/export", role="auditor", tenant=tenant, query=query).text
            page = [line for line in text.encode().splitlines(keepends=True) if b'"kind":"row"' in line]
            after = msgspec.json.decode(page[-1])["seq"] if page else after
            lines += text.encode().splitlines(keepends=True)
        return lines

    def audit(self) -> list[tuple[str, str, str]]:
        """(actor, action, target) of every row."""
        rows = self.database.query("select record from therouter.audit_row order by seq")
        records = [msgspec.json.decode(str(record)) for (record,) in rows]
        return [(record["actor"], record["action"], record["target"]) for record in records]

    def close(self) -> None:
        self.room.verifier.close()


@contextmanager
def open_house(
    database: Database,
    issuer: Issuer | None = None,
    scanner: Scanner | None = None,
    mailbox: Mailbox | None = None,
    bcrypt_pool: BcryptPool | None = None,
) -> Iterator[House]:
    house = House(database, issuer, scanner, mailbox, bcrypt_pool)
    try:
        yield house
    finally:
        house.close()

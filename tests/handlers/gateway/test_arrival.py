"""Notes on a head: shared by all requests that repeat it, and never by another."""

from __future__ import annotations

import asyncio
import os

import pytest

from handlers.errors import InvalidRequest, Unauthenticated
from handlers.gateway.arrival import Arrival, presented_key
from handlers.gateway.byok import NO_RECORDS, ByokChoice
from handlers.gateway.routes import ROUTES
from handlers.keys.grammar import MintedKey, MintKeys, generate_key
from handlers.keys.hashing import BcryptPool, hash_secret
from handlers.keys.principal import KeyRow
from handlers.keys.verification import KeyVerifier
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RepeatedHead, RequestHead
from tests.handlers.gateway.test_plan import principal

MINT_KEYS = MintKeys({"1": os.urandom(32)}, "1")
GOOD, OTHER = (generate_key("global", "local", MINT_KEYS) for _ in range(2))
ROUTE = ROUTES[b"/v1/chat/completions"]


def head_of(connection: RepeatedHead, key: MintedKey, length: int, more: str = "") -> RequestHead:
    section = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key.token}\r\n"
        f"Content-Length: {length}\r\nanthropic-beta: b{more}"
    )
    return connection.read(section.encode(), ServerLimits())


def arrival_of(head: RequestHead) -> Arrival:
    if head.notes is None:
        head.notes = Arrival(head, ROUTE)
    assert isinstance(head.notes, Arrival)
    return head.notes


def verifier_of(*keys: MintedKey) -> KeyVerifier:
    rows = {
        key.key_id: KeyRow(key.key_id, hash_secret(key.secret), "active", None, principal(key_id=key.key_id))
        for key in keys
    }

    async def find(key_id: str) -> KeyRow | None:
        return rows.get(key_id)

    return KeyVerifier(
        find_key=find, bcrypt_pool=BcryptPool(), mint_keys=MINT_KEYS, region="global", environment="local"
    )


def test_only_the_length_may_differ() -> None:
    connection = RepeatedHead()
    first = arrival_of(head_of(connection, GOOD, 10))
    assert first.protocol_headers == (("anthropic-beta", "b"),)
    assert arrival_of(head_of(connection, GOOD, 10)) is first
    longer = head_of(connection, GOOD, 4_711)
    assert arrival_of(longer) is first
    assert (longer.body_length, longer.get(b"content-length")) == (4_711, b"4711")
    assert (b"content-length", b"4711") in longer.headers
    assert arrival_of(head_of(connection, GOOD, 10, more="c")).protocol_headers == (("anthropic-beta", "bc"),)
    assert arrival_of(head_of(RepeatedHead(), GOOD, 10)) is not first, "another connection"


def test_another_key_on_the_same_connection_is_another_principal() -> None:
    verifier, connection = verifier_of(GOOD, OTHER), RepeatedHead()

    async def scenario() -> None:
        for key in (GOOD, OTHER):
            await verifier.authenticate(key.token.encode())
        for key in (GOOD, OTHER, GOOD):
            head = head_of(connection, key, 10)
            found = arrival_of(head).principal(head, verifier)
            assert found is not None
            assert found.key_id == key.key_id

    asyncio.run(scenario())


def test_what_is_noted_does_not_outlive_a_revocation() -> None:
    verifier, connection = verifier_of(GOOD), RepeatedHead()

    async def scenario() -> None:
        head = head_of(connection, GOOD, 10)
        arrival = arrival_of(head)
        assert arrival.principal(head, verifier) is None, "not known yet"
        known = await verifier.authenticate(GOOD.token.encode())
        assert arrival.principal(head, verifier) is known
        verifier.forget([GOOD.key_id])
        assert arrival.principal(head, verifier) is None

    asyncio.run(scenario())


def test_a_grant_is_made_anew_for_another_principal_or_other_records() -> None:
    arrival = arrival_of(head_of(RepeatedHead(), GOOD, 10))
    known, renewed = principal(), principal(data_policy="zero_retention")
    grant = arrival.grant(known, "", NO_RECORDS)
    assert arrival.grant(known, "", NO_RECORDS) is grant
    assert arrival.grant(renewed, "", NO_RECORDS).data_policy == "zero_retention"
    assert arrival.grant(known, "", ByokChoice(everywhere=(("p", "r"),))).byok.everywhere == (("p", "r"),)


@pytest.mark.claim("A06")
def test_a06_two_different_keys_are_refused_each_time() -> None:
    head = RequestHead(b"POST", b"/", [(b"authorization", b"Bearer one"), (b"x-api-key", b"two")])
    arrival = Arrival(head, ROUTE)
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            arrival.principal(head, verifier_of())


@pytest.mark.parametrize("value", [b"", b"Bearer ", b"Bearer a b", b"Bearer a,b", b"Basic a", b"Bearer " + b"x" * 513])
def test_what_is_no_key_is_missing(value: bytes) -> None:
    with pytest.raises(Unauthenticated):
        presented_key(RequestHead(b"POST", b"/", [(b"authorization", value)]))

"""Conversations: named alike as they grow, told apart, sent back, and never to a credential that cannot read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.catalog.entries import Capabilities, Catalog, Endpoint, Model, Price, Provider, Rates
from handlers.errors import FailureClass
from handlers.gateway.attempts import RoutePlan
from handlers.gateway.authorize import authorize
from handlers.gateway.byok import ByokChoice
from handlers.gateway.call import Call
from handlers.gateway.eligibility import Eligibility
from handlers.gateway.gate import read_call
from handlers.gateway.health import EVERYTHING_OK, Health
from handlers.gateway.makers import NOBODY, Maker
from handlers.gateway.plan import route_plan
from handlers.gateway.routes import ROUTES
from handlers.gateway.sticky import STICKY_S, Sticky, conversation_of
from handlers.keys.principal import Principal

ONE = "one"


def provider(slug: str, wire_format: str = "openai_chat") -> Provider:
    return Provider(slug, slug, "https://x", wire_format, "bearer", "US")


def endpoint(slug: str, cache_read: int) -> Endpoint:
    price = Price("t", ((0, Rates(input=1_000, cache_read=cache_read, output=2_000)),))
    return Endpoint(f"a/m@{slug}", "a/m", slug, "m", Capabilities(), price)


def catalog(cache_read: int = 100) -> Catalog:
    rows = [provider("p1"), provider("p2"), provider("p3"), provider("other", "anthropic_messages")]
    model = Model("a/m", "M", tuple(endpoint(row.slug, cache_read) for row in rows))
    return Catalog("v", "global", "USD", {row.slug: row for row in rows}, {"a/m": model}, {})


PRINCIPAL = msgspec.convert(
    {
        "key_id": "k", "account": "account", "user": "u", "account_state": "active", "expires_at": None,
        "limits": {}, "retention_days": 90, "byok_mode": "prefer",
    },
    Principal,
)  # fmt: skip


def call(*texts: str, path: bytes = b"/v1/chat/completions", **fields: Any) -> Call:
    said = [{"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(texts)]
    name = "input" if b"responses" in path else "messages"
    body = msgspec.json.encode({"model": "a/m", **fields, name: [{"role": "system", "content": "Be brief."}, *said]})
    return read_call(ROUTES[path], path, path, b"application/json", body)


def plan(asked: Call, remembered: Sticky, now: float = 0.0, seed: int = 1, rows: Catalog | None = None) -> RoutePlan:
    rows = rows or catalog()
    grant = authorize(PRINCIPAL, "")
    return route_plan(asked, grant, Eligibility(rows, frozenset(rows.providers)), EVERYTHING_OK, seed, remembered, now)


def first(made: RoutePlan) -> str:
    return made.attempts[0].provider.slug


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messages", b"/v1/responses"])
def test_a_conversation_keeps_its_name_while_it_grows(path: bytes) -> None:
    begun, grown = call("Hello \\ you", path=path), call("Hello \\ you", "Hi.", "And now?", path=path, stream=True)
    assert conversation_of(begun, "x") == conversation_of(grown, "x") != b""


def test_other_beginnings_sessions_and_accounts_have_other_names() -> None:
    names = [
        conversation_of(call("one"), "x"),
        conversation_of(call("two"), "x"),
        conversation_of(call("one"), "y"),
        conversation_of(call("one", session_id="s"), "x"),
        conversation_of(call("one", prompt_cache_key="c"), "x"),
    ]
    assert len(set(names)) == len(names)
    assert conversation_of(call("three", session_id="s"), "x") == names[3], "what the client says goes first"


def test_parts_of_text_name_a_conversation_too() -> None:
    parts = [{"type": "text", "text": "hello"}]
    body = msgspec.json.encode({"model": "a/m", "messages": [{"role": "user", "content": parts}]})
    more = msgspec.json.encode(
        {"model": "a/m", "messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "yes"}]}
    )
    path = b"/v1/chat/completions"
    names = {conversation_of(read_call(ROUTES[path], path, path, None, raw), "x") for raw in (body, more)}
    assert len(names) == 1


def test_replicas_that_remember_nothing_send_a_conversation_to_the_same_endpoint() -> None:
    for number in range(20):
        asked = call(f"conversation {number}")
        assert len({first(plan(asked, Sticky(), seed=seed)) for seed in range(20)}) == 1
    spread = {first(plan(call(f"conversation {number}"), Sticky())) for number in range(50)}
    assert len(spread) == 4, "and different ones over all"


def test_without_cheaper_cached_tokens_nothing_sticks() -> None:
    rows = catalog(cache_read=1_000)
    remembered, asked = Sticky(), call("hello")
    remembered.remember(conversation_of(asked, "account"), "a/m@p3", "shared", 0.0)
    assert len({first(plan(asked, remembered, seed=seed, rows=rows)) for seed in range(50)}) > 1


def test_a_conversation_returns_to_who_served_it_last_for_ten_idle_minutes() -> None:
    remembered = Sticky()
    moved = 0
    for number in range(20):
        asked = call(f"conversation {number}")
        usual = first(plan(asked, remembered))
        elsewhere = "p3" if usual != "p3" else "p2"
        name = plan(asked, remembered).conversation
        remembered.remember(name, f"a/m@{elsewhere}", "shared", 100.0)
        assert first(plan(asked, remembered, now=100.0 + STICKY_S - 1)) == elsewhere
        moved += first(plan(asked, remembered, now=100.0 + STICKY_S + 1)) == usual
        assert first(plan(call(f"conversation {number}", provider={"order": ["p1"]}), remembered, now=101.0)) == "p1"
    assert moved == 20


def test_memory_is_bounded_and_the_longest_unused_leave() -> None:
    remembered = Sticky(conversations_max=10)
    for number in range(100):
        remembered.remember(b"%d" % number, "e", "shared", 1.0)
        remembered.remember(b"0", "e", "shared", 1.0)
    assert len(remembered) == 10
    assert remembered.find(b"0", 2.0) is not None
    assert remembered.find(b"50", 2.0) is None


P2: Maker = Maker("p2", "shared")


def with_material(*makers: Maker, **fields: Any) -> Call:
    made = tuple((f"piece {number}", maker) for number, maker in enumerate(makers))
    return msgspec.structs.replace(call("hello", "answer", "next", **fields), made=made)


def test_who_made_the_material_is_asked_first_and_others_may_serve_without_it() -> None:
    for seed in range(20):
        made = plan(with_material(P2), Sticky(), seed=seed)
        assert first(made) == "p2"
        assert len(made.attempts) == 4, "nothing is excluded: pods leave out what is not theirs"
    newest = plan(with_material(Maker("p1", "shared"), P2, NOBODY), Sticky())
    assert first(newest) == "p2", "the newest piece whose maker is known"
    unknown = plan(with_material(NOBODY), Sticky())
    assert unknown.attempts == plan(call("hello", "answer", "next"), Sticky()).attempts


def test_the_clients_order_goes_before_the_maker_and_a_broken_maker_comes_last() -> None:
    assert first(plan(with_material(P2, provider={"order": ["p1"]}), Sticky())) == "p1"
    rows = catalog()
    health = Health(seed=1)
    grant = authorize(PRINCIPAL, "")
    eligibility = Eligibility(rows, frozenset(rows.providers))
    health.failed("a/m@p2", "shared", "account", FailureClass.SERVER_ERROR, 0.0, 1.0)
    shaky = route_plan(with_material(P2), grant, eligibility, health.snapshot(1.0), 1)
    assert first(shaky) == "p2", "one failure of this account's is no reason to lose what the model thought"
    health.failed("a/m@p2", "shared", "account", FailureClass.RATE_LIMITED, 9.0, 1.0)
    assert first(route_plan(with_material(P2), grant, eligibility, health.snapshot(1.1), 1)) != "p2"


def test_material_of_the_shared_credential_goes_before_an_own_one() -> None:
    rows = catalog()
    grant = authorize(PRINCIPAL, "", ByokChoice(everywhere=(("p1", "record"),)))
    eligibility = Eligibility(rows, frozenset(rows.providers))

    def credentials(asked: Call) -> list[str]:
        made = route_plan(asked, grant, eligibility, EVERYTHING_OK, 1)
        return [a.health_key for a in made.attempts if a.provider.slug == "p1"]

    assert credentials(call("hello")) == ["byok:record", "shared"]
    assert credentials(with_material(Maker("p1", "shared"))) == ["shared", "byok:record"]
    assert credentials(with_material(Maker("p1", "byok:record"))) == ["byok:record", "shared"]
    ordered = {"provider": {"order": ["p1"]}}
    assert credentials(with_material(Maker("p1", "shared"), **ordered)) == ["shared", "byok:record"]

"""What requests of one kind share, and what they never do."""

from __future__ import annotations

import gc

import msgspec
import pytest

from handlers.catalog.loading import load_catalog
from handlers.provider.kinds import Address, Kind, ServedEndpoint
from handlers.provider.pod import served_endpoints
from handlers.translation.canonical.attempt import UpstreamRequest
from handlers.transport.limits import CallDeadlines
from handlers.transport.wire import LAST_CHANCE_MS, WireDeadlines, WireRequest, WireTerms

DEADLINES = WireDeadlines(1, 2, 3, 4, 5, 60_000)
UPSTREAM = UpstreamRequest("POST", "/chat/completions", (("content-type", "application/json"),), b"{}", streams=False)
OURS = (("authorization", "Bearer ours"),)


def endpoint() -> ServedEndpoint:
    catalog = load_catalog("global", enabled=frozenset({"openai"}))
    return next(iter(served_endpoints(catalog, catalog.providers["openai"]).values()))


def kind(credential: str = "shared", *, stateless: bool = True) -> tuple[Kind, WireTerms]:
    served = endpoint()
    terms = WireTerms(
        "openai_chat", "chat", "e", served.model, False, DEADLINES, credential=credential, stateless=stateless
    )
    return Kind(terms, served, Address.of("https://api.example/v1")), terms


def request(terms: WireTerms, *, elapsed_ms: int = 0) -> WireRequest:
    return WireRequest(terms, "gen-1", "token", "account", elapsed_ms=elapsed_ms, output_tokens_max=7)


def test_a_request_adds_what_is_its_own() -> None:
    made, terms = kind()
    asked = made.ask(request(terms), b"body", 12.9)
    assert (asked.body, asked.now_s, asked.response_id, asked.output_tokens_max) == (b"body", 12, "gen-1", 7)
    assert (asked.dialect, asked.public_model, asked.stateless) == ("openai_chat", terms.public_model, True)


@pytest.mark.claim("A73")
@pytest.mark.parametrize(
    ("credential", "stateless", "kept"), [("shared", False, False), ("byok", False, True), ("byok", True, False)]
)
def test_a73_whatever_the_gateway_says_shared_credentials_keep_no_state(
    credential: str, *, stateless: bool, kept: bool
) -> None:
    made, terms = kind(credential, stateless=stateless)
    assert made.ask(request(terms), b"", 0).stateless is not kept


def test_the_head_is_made_again_when_anything_in_it_changes() -> None:
    made, _ = kind()
    first = made.head(UPSTREAM, OURS)
    assert first.encode(2) == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.example\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer ours\r\naccept-encoding: identity\r\nuser-agent: TheRouter\r\ncontent-length: 2\r\n\r\n"
    )
    assert made.head(UpstreamRequest("POST", UPSTREAM.path, UPSTREAM.headers, b"other", streams=True), OURS) is first
    others = [
        made.head(UPSTREAM, (("authorization", "Bearer renewed"),)),
        made.head(UpstreamRequest("POST", "/other", UPSTREAM.headers, b"{}", streams=False), OURS),
        made.head(UpstreamRequest("POST", UPSTREAM.path, (), b"{}", streams=False), OURS),
        made.head(UpstreamRequest("GET", UPSTREAM.path, UPSTREAM.headers, b"", streams=False), OURS),
    ]
    assert len({head.encode(1) for head in (first, *others)}) == 5


def test_a_customers_credential_is_not_kept() -> None:
    made, _ = kind("byok")
    theirs = "Bearer " + "customer" * 4
    head = made.head(UPSTREAM, (("authorization", theirs),))
    assert theirs.encode() in head.encode(0)
    assert not [held for held in gc.get_referents(made) if held is head]
    assert made.head(UPSTREAM, (("authorization", theirs),)) is not head


def test_the_clocks_of_bytes() -> None:
    made, terms = kind()
    assert made.deadlines(request(terms), streams=True) == CallDeadlines(1, 2, 4, 60_000)
    assert made.deadlines(request(terms), streams=False) == CallDeadlines(1, 60_000, 4, 60_000)
    assert made.deadlines(request(terms, elapsed_ms=20_000), streams=False) == CallDeadlines(1, 40_000, 4, 40_000)
    short = msgspec.structs.replace(terms, deadlines=msgspec.structs.replace(terms.deadlines, whole_ms=7_000))
    for elapsed_ms in (0, 20_000):
        asked = request(short, elapsed_ms=elapsed_ms)
        deadlines = Kind(short, made.endpoint, made._address).deadlines(asked, streams=False)
        assert deadlines.headers_ms == 7_000, "a short answer is whole by then"
    late = made.deadlines(request(terms, elapsed_ms=90_000), streams=True)
    assert late.total_ms == LAST_CHANCE_MS

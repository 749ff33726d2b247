"""What pods are told alike is told as one object, and never to a request that is not alike."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from handlers.catalog.entries import Endpoint
from handlers.gateway.arrival import Arrival
from handlers.gateway.attempts import Attempt
from handlers.gateway.call import Call
from handlers.gateway.dispatch import LONG_MS, terms_of, upstream_form
from handlers.gateway.gate import read_call
from handlers.gateway.routes import ROUTES, find_route
from handlers.transport.exchange import Exchange
from handlers.transport.request_head import RequestHead
from handlers.transport.wire import WireDeadlines, WireTerms
from tests.handlers.gateway.test_plan import MODEL, PROVIDERS

CHAT, MESSAGES = b"/v1/chat/completions", b"/v1/messages"
CAPS = (None, 16, 257, 4_096, 4_097)
ATTEMPTS = [
    Attempt(endpoint, PROVIDERS[endpoint.provider], credential, "")
    for endpoint in MODEL.endpoints[:2]
    for credential in ("shared", "byok")
]


def exchange_of(path: bytes, *headers: tuple[bytes, bytes]) -> Exchange:
    head = RequestHead(b"POST", path, [(b"host", b"h"), *headers])
    head.notes = Arrival(head, find_route(b"POST", head.path))
    nobody: Any = None
    return Exchange(nobody, nobody, head, b"", 0.0)


def call_of(path: bytes, *, stream: bool, strict: bool, cap: int | None = None) -> Call:
    fields = {"model": "a/m", "messages": [], "stream": stream, "provider": {"require_parameters": strict}}
    body = msgspec.json.encode(fields if cap is None else fields | {"max_tokens": cap})
    return read_call(ROUTES[path], path, path, b"application/json", body)


def told_anew(attempt: Attempt, call: Call, headers: dict[str, str]) -> WireTerms:
    """The same by another way: nothing remembered."""
    endpoint, timeouts = attempt.endpoint, attempt.endpoint.timeouts or attempt.provider.timeouts
    own = attempt.credential == "byok"
    return WireTerms(
        call.route.dialect, call.route.operation, endpoint.id, endpoint.model, call.stream,
        WireDeadlines(**msgspec.to_builtins(timeouts), whole_ms=whole_ms(call, endpoint, timeouts.total_ms)),
        target=call.target, client_headers=headers, credential="byok" if own else "shared", stateless=not own,
        require_parameters=call.preferences.require_parameters, upstream_stream=call.stream or (call.output_cap or 4_097) > 4_096 or timeouts.total_ms > LONG_MS,
    )  # fmt: skip


def whole_ms(call: Call, endpoint: Endpoint, total_ms: int) -> int:
    cap = 0 if call.stream else call.output_cap or 0
    longest_ms = min(total_ms, 60_000 + 100 * endpoint.capabilities.output_tokens_max)
    return {16: 60_000 + 25_600, 257: 60_000 + 102_400, 4_096: 60_000 + 409_600}.get(cap, longest_ms)


def test_whatever_came_before_terms_say_what_they_would_say_anew() -> None:
    kinds = itertools.product((CHAT, MESSAGES), ATTEMPTS, (True, False), (True, False), ("", "b1", "b2"), CAPS)
    exchanges = {
        (path, beta): exchange_of(path, *([(b"anthropic-beta", beta.encode())] if beta else []))
        for path in (CHAT, MESSAGES)
        for beta in ("", "b1", "b2")
    }
    for path, attempt, stream, strict, beta, cap in [*kinds] * 2:
        call = call_of(path, stream=stream, strict=strict, cap=cap)
        headers = {"anthropic-beta": beta} if beta else {}
        assert terms_of(attempt, call, exchanges[path, beta]) == told_anew(attempt, call, headers)


def test_equal_requests_share_their_terms_over_connections() -> None:
    call = call_of(CHAT, stream=False, strict=False)
    first, second = exchange_of(CHAT), exchange_of(CHAT)
    terms = terms_of(ATTEMPTS[0], call, first)
    assert terms_of(ATTEMPTS[0], call, first) is terms
    assert terms_of(ATTEMPTS[0], call, second) is terms


def test_an_endpoint_of_another_catalogue_is_another_though_its_id_is_the_same() -> None:
    attempt, call = ATTEMPTS[0], call_of(CHAT, stream=False, strict=False)
    exchange = exchange_of(CHAT)
    before = terms_of(attempt, call, exchange)
    renamed = msgspec.structs.replace(attempt.endpoint, model="a/other")
    after = terms_of(Attempt(renamed, attempt.provider, "shared", ""), call, exchange)
    assert (before.public_model, after.public_model) == ("a/m", "a/other")


FORMS = [
    (CHAT, {"stream": True, "max_tokens": 5}, ("stream", "client")),
    (CHAT, {}, ("stream", "length")),
    (CHAT, {"max_tokens": 4_096}, ("whole", "short")),
    (CHAT, {"max_tokens": 4_097}, ("stream", "length")),
    (CHAT, {"modalities": ["text", "audio"]}, ("whole", "modalities")),
    (CHAT, {"modalities": ["text"]}, ("stream", "length")),
    (MESSAGES, {"max_tokens": 64_000}, ("stream", "length")),
    (b"/v1/embeddings", {"input": "a"}, ("whole", "operation")),
]


@pytest.mark.parametrize(("path", "fields", "form"), FORMS)
def test_an_explanation_says_in_which_form_the_provider_is_asked_and_why(
    path: bytes, fields: dict[str, Any], form: tuple[str, str]
) -> None:
    body = msgspec.json.encode({"model": "a/m", "messages": [], **fields})
    call = read_call(ROUTES[path], path, path, b"application/json", body)
    attempt = ATTEMPTS[0]
    assert upstream_form(attempt, call) == form
    if form[1] in {"client", "length", "short"}:
        assert terms_of(attempt, call, exchange_of(path)).upstream_stream == (form[0] == "stream")


def test_a_model_without_streams_and_one_that_loses_a_field_are_asked_whole() -> None:
    attempt, path = ATTEMPTS[0], b"/v1beta/models/m:generateContent"
    whole_only = msgspec.structs.replace(attempt.endpoint, quirks=frozenset({"no_streaming"}))
    call = call_of(CHAT, stream=True, strict=False)
    assert upstream_form(Attempt(whole_only, attempt.provider, "shared", ""), call) == ("whole", "no_streaming")
    body = msgspec.json.encode({"contents": []})
    asked = read_call(find_route(b"POST", path), path, path, b"application/json", body)
    vertex = msgspec.structs.replace(attempt.provider, slug="vertex", wire_format="gemini")
    assert upstream_form(Attempt(attempt.endpoint, vertex, "shared", ""), asked) == ("whole", "candidates.avgLogprobs")

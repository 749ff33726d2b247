"""What is remembered of eligibility is what would be found out anew: for any call, after any others."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from handlers.catalog.elsewhere import is_elsewhere
from handlers.catalog.entries import Catalog, Model
from handlers.errors import TheRouterError
from handlers.gateway.authorize import Grant, authorize
from handlers.gateway.byok import ByokChoice
from handlers.gateway.call import Call
from handlers.gateway.eligibility import SHORT_BODY_BYTES, Eligibility, find_candidates, wanted_by
from handlers.gateway.gate import read_call
from handlers.gateway.health import EVERYTHING_OK
from handlers.gateway.plan import route_plan
from handlers.gateway.routes import ROUTES
from tests.handlers.gateway.test_plan import CATALOG, ENABLED, endpoint, principal

LONG = SHORT_BODY_BYTES + 16 * 8_192
"""The longest body for a context of 8,192 tokens."""
REMEMBERED = Eligibility(CATALOG, ENABLED)
is_elsewhere(
    CATALOG.region, "read once"
)  # the first question reads the other region's catalogue; hypothesis times each run

slugs = st.lists(st.sampled_from(["cheap", "dear", "trainer", "zero", "broken"]), max_size=2)
wishes = st.fixed_dictionaries({}, optional={
    "order": slugs, "only": slugs, "ignore": slugs, "allow_fallbacks": st.booleans(), "require_parameters": st.booleans(),
    "data_collection": st.sampled_from(["allow", "deny"]), "zdr": st.booleans(),
    "max_price": st.fixed_dictionaries({}, optional={"prompt": st.sampled_from([0.0, 0.5, 5.0])}),
    "sort": st.sampled_from(["price", {"by": "latency", "partition": "none"}]),
})  # fmt: skip
fields = st.fixed_dictionaries(
    {"model": st.sampled_from(["a/m", "m", "a/m:floor", "a/m:free", "unknown", "tencent/hunyuan-turbos-latest"])},
    optional={
        "models": st.lists(st.sampled_from(["a/m", "other"]), max_size=2),
        "provider": wishes,
        "tools": st.just([{"type": "function", "function": {"name": "f"}}]),
        "response_format": st.just({"type": "json_schema"}),
        "service_tier": st.sampled_from(["default", "priority"]),
        "temperature": st.just(0.5),
        "seed": st.just(1),
    },
)
lengths = st.sampled_from([0, SHORT_BODY_BYTES, SHORT_BODY_BYTES + 1, LONG, LONG + 1])
paths = st.sampled_from([b"/v1/chat/completions", b"/v1/embeddings", b"/v1/messages/count_tokens"])
grants = st.builds(
    lambda models, policy, mode, byok: authorize(
        principal(limits={"models": models}, data_policy=policy, byok_mode=mode), "", ByokChoice(everywhere=byok)
    ),
    st.sampled_from([[], ["a/m"], ["a/other"]]),
    st.sampled_from(["any", "no_training", "zero_retention"]),
    st.sampled_from(["prefer", "only", "off"]),
    st.sampled_from([(), (("cheap", "r1"),), (("cheap", "r2"), ("dear", "r3"))]),
)


def call_of(path: bytes, body: dict[str, object], length: int) -> Call:
    encoded = msgspec.json.encode(body)
    return read_call(ROUTES[path], path, path, b"application/json", encoded.ljust(length))


def planned(eligibility: Eligibility, call: Call, grant: Grant, seed: int) -> object:
    try:
        return route_plan(call, grant, eligibility, EVERYTHING_OK, seed)
    except TheRouterError as error:
        return type(error), error.code, error.message, error.detail


@given(paths, fields, lengths, grants, st.integers(0, 3))
def test_a_plan_from_memory_is_the_plan_made_anew(
    path: bytes, body: dict[str, object], length: int, grant: Grant, seed: int
) -> None:
    call = call_of(path, body, length)
    assert planned(REMEMBERED, call, grant, seed) == planned(Eligibility(CATALOG, ENABLED), call, grant, seed)


def test_what_is_wanted_alike_is_found_out_once() -> None:
    eligibility = Eligibility(CATALOG, ENABLED)
    first = call_of(b"/v1/chat/completions", {"model": "a/m", "messages": [1]}, 0)
    second = call_of(b"/v1/chat/completions", {"model": "a/m", "messages": [1, 2, 3], "stream": True}, 100)
    grants_of_two = [authorize(principal(account=name, key_id=name), "") for name in ("a", "b")]
    assert eligibility.candidates(first, grants_of_two[0]) is eligibility.candidates(second, grants_of_two[1])


def test_another_policy_key_or_catalogue_is_never_answered_from_memory() -> None:
    call = call_of(b"/v1/chat/completions", {"model": "a/m"}, 0)
    mine = authorize(principal(), "")
    eligibility = Eligibility(CATALOG, ENABLED)
    before = eligibility.candidates(call, mine)
    for other in (
        authorize(principal(data_policy="zero_retention"), ""),
        authorize(principal(byok_mode="only"), ""),
        authorize(principal(limits={"models": ["a/other"]}), ""),
        authorize(principal(), "", ByokChoice(everywhere=(("cheap", "record"),))),
    ):
        assert eligibility.candidates(call, other) != before
        assert eligibility.candidates(call, other) == find_candidates(wanted_by(call, other), CATALOG, ENABLED)
    empty = Catalog("v2", "global", "USD", CATALOG.providers, {}, {})
    assert not Eligibility(empty, ENABLED).candidates(call, mine).known
    assert not Eligibility(CATALOG, frozenset()).candidates(call, mine).groups


def test_a_model_whose_name_ends_like_a_wish_is_found_by_its_name() -> None:
    """`a/m:free` is a model of its own where the catalogue has it; elsewhere it asks for an endpoint of `a/m` that is free."""
    variant = Model("a/m:free", "M, free", (endpoint("cheap", 0.0, "a/m:free"),))
    catalog = msgspec.structs.replace(CATALOG, models={**CATALOG.models, "a/m:free": variant})
    grant = authorize(principal(), "", ByokChoice())
    body: dict[str, object] = {"model": "a/m:free", "messages": []}
    wanted = wanted_by(call_of(b"/v1/chat/completions", body, 0), grant)
    assert [
        attempt.endpoint.id for _, group in find_candidates(wanted, catalog, ENABLED).groups for attempt in group
    ] == ["a/m:free@cheap"]
    assert find_candidates(wanted, CATALOG, ENABLED).groups == ()
    assert {reason for _, reason in find_candidates(wanted, CATALOG, ENABLED).details} >= {"free_variant_ended"}

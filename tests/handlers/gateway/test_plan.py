"""Plans: pure, reproducible, and never outside a constraint."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.catalog.entries import Capabilities, Catalog, DataPolicy, Endpoint, Model, Price, Provider, Rates
from handlers.errors import ClientError, FailureClass, InvalidRequest, NotFound, PermissionDenied, Unavailable
from handlers.gateway.attempts import Attempt, RoutePlan
from handlers.gateway.authorize import authorize
from handlers.gateway.byok import ByokChoice
from handlers.gateway.call import Call
from handlers.gateway.eligibility import Eligibility
from handlers.gateway.gate import read_call
from handlers.gateway.health import EVERYTHING_OK, Health
from handlers.gateway.ordering import price_of
from handlers.gateway.plan import ATTEMPTS_MAX, route_plan
from handlers.gateway.routes import ROUTES
from handlers.keys.principal import KeyLimits, Principal

CHAT = ROUTES[b"/v1/chat/completions"]


def provider(slug: str, **more: object) -> Provider:
    row = {
        "name": slug,
        "base_url": "https://x",
        "wire_format": "openai_chat",
        "auth": "bearer",
        "country": "US",
        **more,
    }
    return msgspec.convert({"slug": slug, **row}, Provider)


def endpoint(slug: str, usd: float | None, model: str = "a/m", **able: object) -> Endpoint:
    price = None if usd is None else Price("t", ((0, Rates(input=int(usd * 1e9), output=int(usd * 2e9))),))
    return Endpoint(f"{model}@{slug}", model, slug, "m", msgspec.convert(able, Capabilities), price)


PROVIDERS = {
    row.slug: row
    for row in (
        provider("cheap"),
        provider("dear"),
        provider("trainer", policy=DataPolicy(retention_days=30, trains=True)),
        provider("zero", policy=DataPolicy(retention_days=0), wire_format="anthropic_messages"),
        provider("broken"),
    )
}
MODEL = Model(
    "a/m",
    "M",
    (
        endpoint("cheap", 0.1, parameters=["temperature", "seed", "stop"]),
        endpoint("dear", 10.0, tools=True, json_schema=True, parameters=["temperature", "stop", "reasoning"]),
        endpoint("trainer", 1.0, tools=True, distillable=True),
        endpoint("zero", 2.0, parameters=["temperature", "top_k", "stop", "reasoning"]),
        endpoint("broken", None),
    ),
)
CATALOG = Catalog("v1", "global", "USD", PROVIDERS, {"a/m": MODEL}, {"m": "a/m"})
ENABLED = frozenset(PROVIDERS)
ELIGIBILITY = Eligibility(CATALOG, ENABLED)


def call(**fields: object) -> Call:
    body = msgspec.json.encode({"model": "a/m", "messages": [], **fields})
    return read_call(CHAT, b"/v1/chat/completions", b"/v1/chat/completions", b"application/json", body)


def principal(**more: object) -> Principal:
    base: dict[str, object] = {
        "key_id": "k", "account": "a", "user": "u", "account_state": "active", "expires_at": None,
        "limits": {}, "retention_days": 90, "byok_mode": "prefer",
    }  # fmt: skip
    return msgspec.convert({**base, **more}, Principal)


def plan(
    draw: int = 1, who: Principal | None = None, byok: dict[str, str] | None = None, **fields: object
) -> RoutePlan:
    grant = authorize(who or principal(), "127.0.0.1", ByokChoice(everywhere=tuple((byok or {}).items())))
    return route_plan(call(**fields), grant, ELIGIBILITY, EVERYTHING_OK, draw)


def slugs(made: RoutePlan) -> list[str]:
    return [attempt.provider.slug for attempt in made.attempts]


@pytest.mark.claim("C45")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "tencent/hunyuan-turbos-latest"}, "model"),
        ({"model": "doubao-seed-1.6:floor", "models": ["iflytek/spark-lite"]}, "model"),
        ({"provider": {"only": ["volcengine"]}}, "provider.only"),
    ],
)
def test_c45_what_only_the_other_region_serves_is_refused_as_such(fields: dict[str, object], param: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        plan(**fields)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == ("region_restricted", param)
    assert caught.value.detail == {"region": "china"}


def test_c45_a_fallback_of_this_region_serves_in_its_place() -> None:
    made = plan(model="tencent/hunyuan-turbos-latest", models=["a/m"])
    assert {attempt.endpoint.model for attempt in made.attempts} == {"a/m"}
    assert made.excluded["region_restricted"] == 1


def test_the_same_arguments_make_the_same_plan() -> None:
    for seed in range(50):
        assert plan(seed) == plan(seed)


def test_cheap_endpoints_come_first_nearly_always_and_the_rest_are_fallbacks() -> None:
    firsts = [slugs(plan(seed))[0] for seed in range(500)]
    assert firsts.count("cheap") > 480
    assert set(slugs(plan())) == {"cheap", "dear", "trainer", "zero"}


def test_an_unpriced_endpoint_is_never_used() -> None:
    assert "broken" not in slugs(plan(provider={"order": ["broken", "cheap"]}))
    with pytest.raises((InvalidRequest, Unavailable)) as caught:
        plan(provider={"only": ["broken"]})
    assert "unpriced" in str(caught.value.detail)


def test_order_is_followed_and_the_rest_follow() -> None:
    assert slugs(plan(provider={"order": ["zero", "dear"]}))[:2] == ["zero", "dear"]
    assert slugs(plan(provider={"order": ["zero", "dear"], "allow_fallbacks": False})) == ["zero", "dear"]


@pytest.mark.parametrize(
    ("wishes", "allowed"),
    [
        ({"only": ["dear", "zero"]}, {"dear", "zero"}),
        ({"ignore": ["cheap"]}, {"dear", "trainer", "zero"}),
        ({"data_collection": "deny"}, {"cheap", "dear", "zero"}),
        ({"zdr": True}, {"zero"}),
        ({"max_price": {"prompt": 1.5}}, {"cheap", "trainer"}),
        ({"max_price": {"completion": 0.5}}, {"cheap"}),
        ({"quantizations": ["unknown"]}, {"cheap", "dear", "trainer", "zero"}),
        ({"quantizations": ["fp8", "int4"]}, set()),
        ({"enforce_distillable_text": True}, {"trainer"}),
        ({"order": ["zero", "dear"], "allow_fallbacks": False}, {"zero", "dear"}),
    ],
)
def test_filters_exclude(wishes: dict[str, object], allowed: set[str]) -> None:
    if not allowed:
        with pytest.raises(InvalidRequest):
            plan(provider=wishes)
        return
    assert set(slugs(plan(provider=wishes))) == allowed


def test_needs_exclude_what_cannot() -> None:
    assert set(slugs(plan(tools=[{"type": "function"}]))) == {"dear", "trainer"}
    assert slugs(plan(response_format={"type": "json_schema", "json_schema": {}})) == ["dear"]


def test_every_exclusion_is_counted_with_its_reason() -> None:
    made = plan(provider={"zdr": True})
    assert made.excluded == {"data_policy:zdr": 3, "unpriced": 1}
    assert dict(made.details)["a/m@trainer"] == "data_policy:zdr"


def test_what_is_left_of_nothing_is_explained() -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan(provider={"only": ["trainer"], "data_collection": "deny"})
    availability = caught.value.detail["availability"]
    assert isinstance(availability, dict)
    assert availability["code"] == "constraint_filtered"
    assert availability["excluded_by"]["data_policy:training"] == 1


def test_a_model_that_cannot_do_it_is_told_apart_from_a_wish_too_many() -> None:
    body = msgspec.json.encode({"model": "a/m", "input": "hi"})
    asked = read_call(ROUTES[b"/v1/embeddings"], b"/v1/embeddings", b"/v1/embeddings", b"application/json", body)
    with pytest.raises(InvalidRequest) as caught:
        route_plan(asked, authorize(principal(), "127.0.0.1"), ELIGIBILITY, EVERYTHING_OK, 1)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_for_operation")
    assert "embeddings" in caught.value.message


def test_no_configured_provider_is_our_fault() -> None:
    grant = authorize(principal(), "127.0.0.1")
    with pytest.raises(Unavailable):
        route_plan(call(), grant, Eligibility(CATALOG, frozenset({"other"})), EVERYTHING_OK, 1)


def test_unknown_models_are_404_and_a_known_fallback_saves_the_request() -> None:
    with pytest.raises(NotFound):
        plan(model="a/nothing")
    assert plan(model="a/nothing", models=["m"]).attempts


def test_a_keys_model_list_is_a_filter() -> None:
    who = principal(limits=msgspec.to_builtins(KeyLimits(models=frozenset({"b/other"}))))
    with pytest.raises(ClientError) as caught:
        plan(who=who)
    assert "allowed_models" in str(caught.value.detail)


@pytest.mark.parametrize(
    ("policy", "allowed"), [("no_training", {"cheap", "dear", "zero"}), ("zero_retention", {"zero"})]
)
def test_the_stricter_policy_of_tenant_and_key_holds(policy: str, allowed: set[str]) -> None:
    assert set(slugs(plan(who=principal(data_policy=policy)))) == allowed
    assert set(slugs(plan(who=principal(limits={"data_policy": policy})))) == allowed


def test_own_credentials_come_first_and_only_means_only() -> None:
    made = plan(byok={"dear": "record"})
    assert (made.attempts[0].provider.slug, made.attempts[0].credential) == ("dear", "byok")
    only = plan(who=principal(byok_mode="only"), byok={"dear": "record"})
    assert [(a.provider.slug, a.credential) for a in only.attempts] == [("dear", "byok")]
    assert all(a.credential == "shared" for a in plan(who=principal(byok_mode="off"), byok={"dear": "record"}).attempts)


def test_a_premium_tier_is_not_served_at_the_list_price() -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan(service_tier="priority")
    assert "service_tier" in str(caught.value.detail)
    assert plan(service_tier="priority", byok={"dear": "r"}).attempts[0].credential == "byok"


def test_what_failed_this_account_is_tried_last_by_it_and_first_by_others() -> None:
    health = Health(seed=1)
    health.failed("a/m@cheap", "shared", "a", FailureClass.SERVER_ERROR, 0.0, 1.0)
    snapshot = health.snapshot(2.0)
    mine = route_plan(call(), authorize(principal(), ""), ELIGIBILITY, snapshot, 3)
    assert slugs(mine)[-1] == "cheap"
    others = route_plan(call(), authorize(principal(account="b"), ""), ELIGIBILITY, snapshot, 3)
    assert slugs(others)[0] == "cheap"


def test_sorting() -> None:
    assert slugs(plan(provider={"sort": "price"})) == ["cheap", "trainer", "zero", "dear"]
    assert slugs(plan(model="a/m:floor"))[0] == "cheap"
    health = Health(seed=1)
    health.measured("a/m@dear", first_event_ms=10, tokens_per_s=900)
    snapshot = health.snapshot(2.0)
    fast = route_plan(call(provider={"sort": "throughput"}), authorize(principal(), ""), ELIGIBILITY, snapshot, 1)
    assert slugs(fast)[0] == "dear"


# A reference planner: the constraints written a second time, without the order.

PARAMETERS: dict[str, object] = {"temperature": 0, "seed": 1, "top_k": 2, "stop": "x", "reasoning": {"effort": "low"}}
HONOURED = {
    "cheap": {"temperature", "seed", "stop"},
    "dear": {"temperature", "stop", "reasoning"},
    "trainer": set(PARAMETERS),  # nothing is known of it: its pod decides
    "zero": {"temperature", "top_k", "stop", "reasoning"},
}


def permitted(wishes: dict[str, Any], needs: set[str], sent: set[str]) -> set[str]:
    found = set()
    for candidate in MODEL.endpoints:
        row = PROVIDERS[candidate.provider]
        cap = wishes.get("max_price", {}).get("prompt")
        if (
            candidate.price is not None
            and (not wishes.get("only") or row.slug in wishes["only"])
            and row.slug not in wishes.get("ignore", [])
            and (wishes.get("allow_fallbacks", True) or "order" not in wishes or row.slug in wishes["order"])
            and not (wishes.get("zdr") and row.policy.retention_days > 0)
            and not (wishes.get("data_collection") == "deny" and row.policy.trains)
            and not (cap is not None and candidate.price.tiers[0][1].input > cap * 1e9)
            and not (wishes.get("enforce_distillable_text") and not candidate.capabilities.distillable)
            and not (wishes.get("require_parameters") and sent - HONOURED[row.slug])
            and all(getattr(candidate.capabilities, need) for need in needs)
        ):
            found.add(row.slug)
    return found


def random_wishes() -> Iterator[tuple[int, dict[str, Any], set[str], set[str]]]:
    generator = random.Random(20)
    names = list(PROVIDERS)

    def chance(share: float) -> bool:
        return generator.random() < share

    for seed in range(10_000):
        switches = (("zdr", 0.2), ("require_parameters", 0.3), ("enforce_distillable_text", 0.05))
        wishes: dict[str, Any] = {name: True for name, share in switches if chance(share)}
        if chance(0.4):
            wishes["only"] = generator.sample(names, generator.randint(1, 4))
        if chance(0.4):
            wishes["ignore"] = generator.sample(names, generator.randint(1, 3))
        if chance(0.3):
            wishes["order"] = generator.sample(names, generator.randint(1, 3))
            wishes["allow_fallbacks"] = chance(0.5)
        if chance(0.2):
            wishes["data_collection"] = "deny"
        if chance(0.3):
            wishes["max_price"] = {"prompt": generator.choice([0.05, 0.5, 1.5, 5.0, 50.0])}
        if chance(0.3):
            by = generator.choice(["price", "throughput", "latency"])
            wishes["sort"] = generator.choice([by, {"by": by, "partition": generator.choice(["model", "none"])}])
        if chance(0.2):
            wishes["preferred_min_throughput"] = generator.choice([10, {"p50": 40, "p90": 10}])
            wishes["preferred_max_latency"] = generator.choice([0.5, {"p99": 2}])
        needs = {need for need in ("tools", "json_schema") if chance(0.2)}
        yield seed, wishes, needs, {name for name in PARAMETERS if chance(0.3)}


def test_ten_thousand_random_requests_keep_every_constraint_and_are_reproducible() -> None:
    served = 0
    for seed, wishes, needs, sent in random_wishes():
        fields: dict[str, Any] = {"provider": wishes, **{name: PARAMETERS[name] for name in sent}}
        if "tools" in needs:
            fields["tools"] = [{"type": "function"}]
        if "json_schema" in needs:
            fields["response_format"] = {"type": "json_schema"}
        allowed = permitted(wishes, needs, sent)
        try:
            made = plan(seed, **fields)
        except (InvalidRequest, Unavailable):
            assert not allowed, (wishes, needs, sent)
            continue
        served += 1
        tried = slugs(made)
        assert set(tried) <= allowed, (wishes, needs, sent)
        limit = ATTEMPTS_MAX if wishes.get("allow_fallbacks", True) else len(wishes["order"])
        assert len(tried) == min(len(allowed), limit) == len(set(tried))
        assert made == plan(seed, **fields)
        wanted = [slug for slug in wishes.get("order", []) if slug in allowed]
        assert tried[: len(wanted)] == wanted
    assert served > 2_500


def test_speed_that_is_preferred_orders_and_excludes_nothing() -> None:
    health = Health(seed=1)
    for slug, first, rate in (("cheap", 4_000, 5), ("dear", 100, 200)):
        health.measured(f"a/m@{slug}", first_event_ms=first, tokens_per_s=rate)
    snapshot = health.snapshot(2.0)
    for wish in (
        {"preferred_min_throughput": 50},
        {"preferred_min_throughput": {"p90": 50}},
        {"preferred_max_latency": 1.5},
        {"preferred_max_latency": {"p50": 1.0, "p99": 3.0}},
    ):
        made = route_plan(call(provider=wish), authorize(principal(), ""), ELIGIBILITY, snapshot, 1)
        assert slugs(made)[-1] == "cheap", wish
        assert len(slugs(made)) == 4, "nothing is excluded, and what is unknown gets its chance"


def test_sorting_over_all_models_or_one_after_the_other() -> None:
    other = Model("b/n", "N", (endpoint("zero", 0.01, "b/n"),))
    catalog = Catalog("v1", "global", "USD", PROVIDERS, {"a/m": MODEL, "b/n": other}, {})

    def first(**fields: Any) -> str:
        asked = call(models=["a/m", "b/n"], **fields)
        return (
            route_plan(asked, authorize(principal(), ""), Eligibility(catalog, ENABLED), EVERYTHING_OK, 1)
            .attempts[0]
            .endpoint.id
        )

    assert first(provider={"sort": "price"}) == "a/m@cheap"
    assert first(provider={"sort": {"by": "price"}}) == "a/m@cheap"
    assert first(provider={"sort": {"by": "price", "partition": "none"}}) == "b/n@zero"
    assert first(route="sort") == "b/n@zero"


def test_require_parameters_excludes_who_is_known_to_lack_one() -> None:
    sent: dict[str, object] = {"seed": 1, "temperature": 0}
    assert set(slugs(plan(**sent))) == {"cheap", "dear", "trainer", "zero"}  # type: ignore[arg-type]
    strict = plan(**sent, provider={"require_parameters": True})  # type: ignore[arg-type]
    # `dear` speaks the client's format, and drops what its row does not list; of `trainer` nothing is known.
    assert set(slugs(strict)) == {"cheap", "trainer"}
    assert strict.excluded == {"require_parameters": 2, "unpriced": 1}
    with pytest.raises(InvalidRequest) as caught:
        plan(**sent, provider={"require_parameters": True, "only": ["dear", "zero"]})  # type: ignore[arg-type]
    availability = caught.value.detail["availability"]
    assert isinstance(availability, dict)
    assert availability["excluded_by"]["require_parameters"] == 2
    assert availability["constraint"] == {"field": "provider.require_parameters", "detail": "seed"}


def test_what_is_over_the_limit_of_attempts_is_told() -> None:
    rows = tuple(endpoint(slug, 1.0, f"{slug}/m") for slug in ("cheap", "dear", "trainer", "zero"))
    models = {
        f"{slug}/m": Model(f"{slug}/m", "M", (row, endpoint("cheap", 2.0, f"{slug}/m")))
        for slug, row in zip(("cheap", "dear", "trainer", "zero"), rows, strict=True)
    }
    catalog = Catalog("v1", "global", "USD", PROVIDERS, models, {})
    made = route_plan(
        call(model="cheap/m", models=list(models)),
        authorize(principal(), ""),
        Eligibility(catalog, ENABLED),
        EVERYTHING_OK,
        1,
    )
    assert len(made.attempts) == ATTEMPTS_MAX
    assert made.excluded["attempts_limit"] == 8 - ATTEMPTS_MAX


def test_attempts_carry_what_dispatch_needs() -> None:
    attempt = plan().attempts[0]
    assert isinstance(attempt, Attempt)
    assert attempt.health_key == "shared"
    assert price_of(attempt.endpoint) > 0

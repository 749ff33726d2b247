"""What failures and plans tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.catalog.entries import Capabilities, Catalog, Endpoint, Model, Price, Provider, Rates
from handlers.errors import FAILURES, FailureClass
from handlers.gateway.attempts import RoutePlan
from handlers.gateway.authorize import authorize
from handlers.gateway.call import Call
from handlers.gateway.disclosure import RETRY_AFTER_S_MAX, describe_plan, failure_error
from handlers.gateway.eligibility import Eligibility
from handlers.gateway.gate import read_call
from handlers.gateway.health import EVERYTHING_OK
from handlers.gateway.plan import route_plan
from handlers.gateway.routes import ROUTES
from handlers.keys.principal import Principal
from handlers.transport.wire import WireEnd

PATH = b"/v1/chat/completions"
PRICE = Price("t", ((0, Rates(input=1_000, output=2_000)),))
PROVIDERS = {slug: Provider(slug, slug, "https://x", "openai_chat", "bearer", "US") for slug in ("p1", "p2")}
MODEL = Model(
    "a/m", "M", tuple(Endpoint(f"a/m@{slug}", "a/m", slug, "m", Capabilities(), PRICE) for slug in ("p1", "p2"))
)
CATALOG = Catalog("v", "global", "USD", PROVIDERS, {"a/m": MODEL}, {})
ELIGIBILITY = Eligibility(CATALOG, frozenset(PROVIDERS))


def made(**wishes: Any) -> tuple[Call, RoutePlan]:
    principal = msgspec.convert(
        {
            "key_id": "k", "account": "a", "user": "u", "account_state": "active", "expires_at": None,
            "limits": {}, "retention_days": 90, "byok_mode": "prefer",
        },
        Principal,
    )  # fmt: skip
    body = msgspec.json.encode({"model": "a/m", "messages": [], "provider": wishes})
    call = read_call(ROUTES[PATH], PATH, PATH, b"application/json", body)
    return call, route_plan(call, authorize(principal, ""), ELIGIBILITY, EVERYTHING_OK, 1)


def told(failure: FailureClass, retry_after_ms: int = 0, **wishes: Any) -> tuple[dict[str, Any], int | None]:
    call, plan = made(**wishes)
    tried = [(attempt, failure) for attempt in plan.attempts]
    error = failure_error(failure, WireEnd(failure=failure, retry_after_ms=retry_after_ms), call, plan, tried)
    assert error.http_status == FAILURES[failure].http_status
    return error.detail, error.retry_after_s


def test_a_failure_names_who_was_tried_and_what_had_been_excluded() -> None:
    detail, _ = told(FailureClass.SERVER_ERROR)
    assert (detail["attempts"], detail["credential"], detail["model"]) == (2, "shared", "a/m")
    assert {row["provider"] for row in detail["previous_errors"]} == {"p1", "p2"}
    assert detail["previous_errors"][0]["status"] == 502
    availability = detail["availability"]
    assert availability["code"] == "temporarily_unavailable"
    assert availability["affected_providers"] == ["p1", "p2"]
    assert availability["requested_models"] == ["a/m"]
    assert told(FailureClass.CONNECT, ignore=["p1"])[0]["availability"]["excluded_by"] == {"ignored_providers": 1}


@pytest.mark.parametrize("failure", list(FailureClass))
def test_what_may_succeed_later_says_so_and_what_is_the_requests_fault_does_not(failure: FailureClass) -> None:
    detail, retry_after_s = told(failure)
    about_the_request = {FailureClass.INVALID_REQUEST, FailureClass.CONTENT_POLICY, FailureClass.CANCELLED}
    assert ("availability" in detail) == (failure not in about_the_request)
    assert (retry_after_s is not None) == (FAILURES[failure].http_status in {429, 503})


def test_what_a_pod_says_about_the_clients_fault_reaches_the_client() -> None:
    call, plan = made()
    failure = FailureClass.INVALID_REQUEST
    end = WireEnd(failure=failure, param="previous_response_id", message="Send the content.", code="stateful_field")
    error = failure_error(failure, end, call, plan, [(plan.attempts[0], failure)])
    assert (error.code, error.message, error.param) == (end.code, end.message, end.param)
    bare = failure_error(failure, WireEnd(failure=failure), call, plan, [(plan.attempts[0], failure)])
    assert (bare.code, bare.message, bare.param) == ("invalid_request", FAILURES[failure].message, None)


@pytest.mark.claim("A83")
@pytest.mark.parametrize("said_ms", [1, 10**12])
def test_a83_a_provider_cannot_send_clients_away_for_long(said_ms: int) -> None:
    detail, retry_after_s = told(FailureClass.RATE_LIMITED, said_ms)
    assert retry_after_s is not None
    assert 1 <= retry_after_s <= RETRY_AFTER_S_MAX
    assert detail["availability"]["retry_after"] == retry_after_s


def test_a_plan_gives_the_reason_for_each_endpoint() -> None:
    call, plan = made(ignore=["p1"])
    described = describe_plan(plan, 5_000, CATALOG, EVERYTHING_OK, "a", call)
    attempts = described["attempts"]
    assert isinstance(attempts, list)
    assert [(row["provider"], row["condition"]) for row in attempts] == [("p2", "ok")]
    assert [row["asked_for"] for row in attempts] == [{"form": "stream", "because": "length"}]
    assert described["not_chosen"] == [{"endpoint": "a/m@p1", "reason": "ignored_providers"}]
    assert described["worst_case_cost"] == 5e-6

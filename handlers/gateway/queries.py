"""What the gateway answers itself: models, the key, one generation, health and metrics."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from uuid import UUID

import msgspec

from handlers.catalog.elsewhere import is_elsewhere, refuse_model
from handlers.catalog.entries import NANO, PER_MILLION, Endpoint, Model, Rates
from handlers.catalog.names import find_model, nearest_names
from handlers.errors import InvalidRequest, NotFound, TheRouterError
from handlers.gateway.arrival import presented_key
from handlers.gateway.figure_shapes import EndpointFigures
from handlers.gateway.figures import NO_FIGURES, named
from handlers.gateway.pipeline import refuse
from handlers.gateway.refusals import JSON_HEADERS
from handlers.gateway.request_ids import new_request_id
from handlers.gateway.routes import model_of

if TYPE_CHECKING:
    from handlers.gateway.room import Gateway
    from handlers.gateway.routes import Route
    from handlers.keys.principal import Principal
    from handlers.transport.server import Exchange

_encode = msgspec.json.Encoder().encode


def answer(gateway: Gateway, exchange: Exchange, route: Route) -> None:
    """Answer a GET route; those that need the database do it in a task."""
    request_id = new_request_id()
    immediate = _IMMEDIATE.get(route.name)
    try:
        if immediate is not None:
            status, body = immediate(gateway, exchange)
            exchange.send(status, [*JSON_HEADERS, (b"x-request-id", request_id.encode())], _encode(body))
        elif route.name == "metrics":
            # Scrapers elsewhere use the operator's listener; here only this machine sees that the route exists.
            if not gateway.is_local(exchange):
                raise NotFound("No such route. The routes are listed at /docs.", code="route_not_found")
            send_metrics(gateway, exchange)
        else:
            gateway.spawn(_answer_known(gateway, exchange, route, request_id))
    except TheRouterError as error:
        refuse(gateway, exchange, route.dialect, error, request_id)


async def _answer_known(gateway: Gateway, exchange: Exchange, route: Route, request_id: str) -> None:
    try:
        token = presented_key(exchange.head)
        gateway.refuse_while_closed()
        principal = gateway.verifier.cached(token) or await gateway.verifier.authenticate(token)
        body = await (_key if route.name == "key" else _generation)(gateway, exchange, principal, route)
        exchange.send(200, [*JSON_HEADERS, (b"x-request-id", request_id.encode())], _encode(body))
    except TheRouterError as error:
        refuse(gateway, exchange, route.dialect, error, request_id)


def send_metrics(gateway: Gateway, exchange: Exchange) -> None:
    """All metrics as Prometheus text."""
    exchange.send(200, [(b"content-type", b"text/plain; version=0.0.4")], gateway.metrics.registry.exposition())


def _healthz(_gateway: Gateway, _exchange: Exchange) -> tuple[int, object]:
    return 200, {"status": "ok"}


def _readyz(gateway: Gateway, _exchange: Exchange) -> tuple[int, object]:
    waiting = gateway.not_ready()
    return (503, {"status": "not ready", "waiting_for": waiting}) if waiting else (200, {"status": "ready"})


def decimal_price(rate_nano: int, divisor: int = NANO * PER_MILLION) -> str:
    """Nano-units per million as a decimal string per unit, as OpenRouter's clients expect."""
    return format((Decimal(rate_nano) / divisor).normalize(), "f")


_PRICE_FIELDS = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "image": "images",
    "audio": "audio_input",
    "audio_output": "audio_output",
    "web_search": "searches",
}


def _pricing(rates: Rates) -> dict[str, str]:
    prices = {name: decimal_price(getattr(rates, field)) for name, field in _PRICE_FIELDS.items()}
    prices["request"] = decimal_price(rates.per_request, NANO)
    return prices


def _servable(gateway: Gateway, model: Model) -> list[Endpoint]:
    return [e for e in model.endpoints if e.price is not None and e.provider in gateway.enabled]


def _describe(gateway: Gateway, model: Model) -> dict[str, object]:
    servable = _servable(gateway, model)
    cheapest = min(servable, key=lambda e: e.price.tiers[0][1].output if e.price else 0)
    able = cheapest.capabilities
    supported = sorted({p for e in servable for p in e.capabilities.parameters} | _features(servable))
    return {
        "id": model.id,
        "object": "model",
        "name": model.name,
        "created": model.created,
        "owned_by": model.id.partition("/")[0],
        "context_length": max(e.capabilities.context_tokens for e in servable),
        "architecture": {
            "input_modalities": ["text", *(["image"] if able.vision else []), *(["audio"] if able.audio else [])],
            "output_modalities": ["text"],
        },
        "operations": sorted({o for e in servable for o in e.capabilities.operations}),
        "pricing": _pricing(cheapest.price.tiers[0][1]) if cheapest.price else {},
        "pricing_currency": gateway.catalog.currency,
        "pricing_version": cheapest.price.version if cheapest.price else "",
        "top_provider": {
            "context_length": able.context_tokens,
            "max_completion_tokens": able.output_tokens_max,
            "is_moderated": False,
        },
        "supported_parameters": supported,
        "providers": sorted({e.provider for e in servable}),
    }


_FEATURES = {"tools": "tools", "json_schema": "structured_outputs", "reasoning": "reasoning"}


def _features(endpoints: list[Endpoint]) -> set[str]:
    return {word for field, word in _FEATURES.items() if any(getattr(e.capabilities, field) for e in endpoints)}


def _models(gateway: Gateway, _exchange: Exchange) -> tuple[int, object]:
    listed = [_describe(gateway, m) for m in gateway.catalog.models.values() if _servable(gateway, m)]
    return 200, {"object": "list", "data": listed}


def _model(gateway: Gateway, exchange: Exchange) -> tuple[int, object]:
    model = _named(gateway, exchange)
    return 200, _describe(gateway, model)


def _model_endpoints(gateway: Gateway, exchange: Exchange) -> tuple[int, object]:
    model = _named(gateway, exchange)
    health = gateway.health.snapshot(gateway.monotonic())
    endpoints = [
        {
            "name": endpoint.id,
            "provider_name": gateway.catalog.providers[endpoint.provider].name,
            "tag": endpoint.provider,
            "context_length": endpoint.capabilities.context_tokens,
            "max_completion_tokens": endpoint.capabilities.output_tokens_max,
            "quantization": endpoint.quantization,
            "pricing": _pricing(endpoint.price.tiers[0][1]) if endpoint.price else {},
            "country": gateway.catalog.providers[endpoint.provider].country,
            "data_policy": msgspec.structs.asdict(gateway.catalog.providers[endpoint.provider].policy),
            "status": health.condition(endpoint.id, "shared").name.lower(),
            **_live(health.figures(endpoint.id)),
        }
        for endpoint in _servable(gateway, model)
    ]
    return 200, {"data": {"id": model.id, "name": model.name, "endpoints": endpoints}}


def _live(figures: EndpointFigures | None) -> dict[str, object]:
    """Uptimes in percent, throughput in tokens per second, latency in seconds; null where nothing was measured."""
    known = figures or NO_FIGURES
    return {
        "uptime_last_5m": _percent(known.uptime_5m),
        "uptime_last_30m": _percent(known.uptime_30m),
        "uptime_last_1d": _percent(known.uptime_1d),
        "throughput_last_5m": named(known.throughput),
        "throughput_last_30m": named(known.throughput_30m),
        "latency_last_5m": named(known.latency_ms, divisor=1000),
        "latency_last_30m": named(known.latency_30m_ms, divisor=1000),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 2)


def _named(gateway: Gateway, exchange: Exchange) -> Model:
    name = model_of(exchange.head.path)
    model = find_model(gateway.catalog, name)
    if model is None or not _servable(gateway, model):
        near = ", ".join(nearest_names(gateway.catalog, name))
        if is_elsewhere(gateway.catalog.region, name):
            raise refuse_model(gateway.catalog.region)
        raise NotFound(
            f"There is no model of this name.{' Did you mean ' + near + '?' if near else ''}",
            param="model",
            code="model_not_found",
        )
    return model


async def _key(gateway: Gateway, _exchange: Exchange, principal: Principal, _route: Route) -> object:
    summary = await gateway.store.key_summary(principal.key_id)
    if summary is None:
        raise NotFound("There is no such key any more.", code="key_not_found")
    limits = principal.limits
    spent = {
        "daily": summary.spend_today_nano,
        "weekly": summary.spend_week_nano,
        "monthly": summary.spend_month_nano,
        "": summary.spend_all_nano,
    }[limits.spend_period]
    return {
        "data": {
            "label": summary.name,
            "key_id": principal.key_id,
            "limit": None if limits.spend_nano is None else limits.spend_nano / NANO,
            "limit_reset": limits.spend_period or None,
            "limit_remaining": None if limits.spend_nano is None else max(0, limits.spend_nano - spent) / NANO,
            "usage": summary.spend_all_nano / NANO,
            "usage_daily": summary.spend_today_nano / NANO,
            "usage_weekly": summary.spend_week_nano / NANO,
            "usage_monthly": summary.spend_month_nano / NANO,
            "balance": (summary.balance_nano - summary.held_nano) / NANO,
            "currency": gateway.catalog.currency,
            "is_management_key": False,
            "byok_mode": principal.byok_mode,
            "data_policy": principal.data_policy,
            "rate_limit": {
                "requests_per_minute": limits.requests_per_minute,
                "tokens_per_minute": limits.tokens_per_minute,
                "concurrent_requests": limits.concurrent_requests,
            },
            "shared_rate_limits": [
                {
                    "scope": shared.scope,
                    "requests_per_minute": shared.requests_per_minute,
                    "tokens_per_minute": shared.tokens_per_minute,
                    "concurrent_requests": shared.concurrent_requests,
                }
                for shared in principal.shared_limits
            ],
            "created_at": summary.created_at,
            "expires_at": summary.expires_at,
        }
    }


async def _generation(gateway: Gateway, exchange: Exchange, principal: Principal, route: Route) -> object:
    if route.name == "generation_content":
        raise NotFound(
            "Prompts and answers are never stored, so there is no content to return.", code="content_not_stored"
        )
    wanted = parse_qs(exchange.head.query.decode("ascii", "replace")).get("id", [""])[0]
    try:
        request_id = str(UUID(wanted))
    except ValueError:
        raise InvalidRequest("`id` must be the x-request-id of a request (a UUID).", param="id") from None
    row = await gateway.store.find_generation(principal.account, request_id)
    if row is None:
        raise NotFound("There is no generation of this id in this account (yet).", param="id")
    described = {
        "id": row.request_id,
        "total_cost": row.cost_nano / NANO,
        "currency": gateway.catalog.currency,
        "native_tokens_prompt": row.prompt_tokens,
        "native_tokens_completion": row.completion_tokens,
        "native_tokens_cached": row.cache_read_tokens,
        "native_tokens_reasoning": row.reasoning_tokens,
        "provider_name": row.provider,
        "streamed": row.stream,
        "latency": row.first_event_ms,
        "generation_time": row.latency_ms,
        "cancelled": row.http_status == 499,
        "is_byok": row.credential == "byok",
        "content": None,
        "content_note": "Prompts and answers are never stored.",
    }
    return {"data": {**msgspec.to_builtins(row), **described}}


_IMMEDIATE = {
    "healthz": _healthz,
    "readyz": _readyz,
    "models": _models,
    "model": _model,
    "model_endpoints": _model_endpoints,
}

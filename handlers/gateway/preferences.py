"""What a client may ask of routing: OpenRouter's contract (peers.md 4.1), typed, bounded, strict."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Slug = Annotated[str, Meta(min_length=1, max_length=64)]
Slugs = Annotated[tuple[Slug, ...], Meta(max_length=64)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


class SortRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`provider.sort` as an object."""

    by: Literal["price", "throughput", "latency"]
    partition: Literal["model", "none"] = "model"


class Percentiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A threshold per percentile, as `preferred_min_throughput` and `preferred_max_latency` accept."""

    p50: Positive | None = None
    p75: Positive | None = None
    p90: Positive | None = None
    p99: Positive | None = None


class PriceCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`provider.max_price`: USD (CNY in china) per million tokens, or per request and image. A hard filter."""

    prompt: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    completion: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    request: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    image: Annotated[float, Meta(ge=0, le=1e6)] | None = None


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The `provider` object of a request."""

    order: Slugs = ()
    only: Slugs = ()
    ignore: Slugs = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    data_collection: Literal["allow", "deny"] = "allow"
    zdr: bool = False
    enforce_distillable_text: bool = False
    quantizations: Annotated[tuple[Slug, ...], Meta(max_length=16)] = ()
    sort: Literal["price", "throughput", "latency"] | SortRule | None = None
    max_price: PriceCap | None = None
    preferred_min_throughput: Positive | Percentiles | None = None
    preferred_max_latency: Positive | Percentiles | None = None
    hedge_after: Annotated[float, Meta(gt=0, le=60)] | None = None
    """Ours: seconds without a first token after which a second endpoint is asked as well (hedging.py)."""


NO_PREFERENCES = Preferences()

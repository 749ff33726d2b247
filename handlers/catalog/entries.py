"""The shapes of the catalogue. Everything is frozen: a request keeps the snapshot that it was planned with."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import msgspec

NANO: Final = 1_000_000_000
"""Nano-units of currency in one unit (USD in the global region, CNY in china)."""
PER_MILLION: Final = 1_000_000


class Rates(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One price, in nano-units of currency per million of each unit of `Usage`, valid for one context tier.

    An integer of nano-USD per million tokens expresses any list price exactly: 0.0375 USD per million is 37_500_000.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    seconds_ms: int = 0
    characters: int = 0
    images: int = 0
    searches: int = 0
    per_request: int = 0
    """Nano-units for each request, not per million."""

    @cached_property
    def per_unit(self) -> tuple[int, ...]:
        """The rates of all units, in the order of `Usage`: what is multiplied by its counters."""
        return tuple(getattr(self, name) for name in self.__struct_fields__ if name != "per_request")


class Period(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a price differs from the standing one: from a day on, at some hours, on some days of the week; all in UTC."""

    since_s: int = 0
    """Unix seconds from which it applies."""
    minute_start: int = 0
    """Minute of the day, from 0; a window whose end is before its start passes midnight."""
    minute_end: int = 1_440
    weekdays: tuple[int, ...] = ()
    """Monday is 0; empty: every day."""

    @property
    def always(self) -> bool:
        """All day, every day, once it has begun."""
        return not self.weekdays and (self.minute_start, self.minute_end) == (0, 1_440)

    def includes(self, unix_s: float) -> bool:
        """Whether the moment lies in this period."""
        if unix_s < self.since_s:
            return False
        day, second = divmod(int(unix_s), 86_400)
        if self.weekdays and (day + 3) % 7 not in self.weekdays:  # 1970-01-01 was a Thursday
            return False
        minute = second // 60
        if self.minute_end < self.minute_start:
            return minute >= self.minute_start or minute < self.minute_end
        return self.minute_start <= minute < self.minute_end


class WorstRates(msgspec.Struct, frozen=True, gc=False):
    """The dearest that one tier can be, whatever class of tokens or time of day; nano-units of currency."""

    floor: int
    """In prompt tokens."""
    reading: int
    """Per million prompt tokens."""
    writing: int
    """Per million output tokens."""
    per_byte: int
    """Per million bytes of the request; audio is never below 8 kbit/s: a byte a millisecond."""
    images: int
    """Per million images."""
    searches: int
    """Per million searches."""
    per_request: int


class Price(msgspec.Struct, frozen=True, dict=True):
    """What an endpoint costs: tiers by prompt length, ascending; the last tier whose floor is reached applies."""

    version: str
    """Recorded in each usage row: source and date, such as `genai-prices/0.2.3` or `catalog/2026-11-01`."""
    tiers: tuple[tuple[int, Rates], ...]
    """(floor in prompt tokens, rates); the first floor is 0."""
    periods: tuple[tuple[Period, tuple[tuple[int, Rates], ...]], ...] = ()
    """Other tiers for certain times; the last period that includes the moment wins over `tiers`."""

    @cached_property
    def worst(self) -> tuple[WorstRates, ...]:
        """Every tier at every time."""
        return tuple(
            WorstRates(
                floor,
                max(rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h),
                max(rates.output, rates.reasoning, rates.audio_output, rates.image_output),
                rates.characters + rates.seconds_ms,
                rates.images,
                rates.searches,
                rates.per_request,
            )
            for tiers in (self.tiers, *(others for _, others in self.periods))
            for floor, rates in tiers
        )

    def at(self, unix_s: float) -> Price:
        """The price in force at a moment, without periods: what a request is admitted with and settled by."""
        if not self.periods:
            return self
        tiers = self.tiers
        for period, others in self.periods:
            if period.includes(unix_s):
                tiers = others
        return Price(self.version, tiers)

    def rates_at(self, prompt_tokens: int) -> Rates:
        """The rates for a prompt of this many tokens."""
        applicable = self.tiers[0][1]
        for floor, rates in self.tiers:
            if prompt_tokens >= floor:
                applicable = rates
        return applicable


class Timeouts(msgspec.Struct, frozen=True):
    """Milliseconds for each phase of an attempt (security.md 4.2)."""

    connect_ms: int = 5_000
    headers_ms: int = 30_000
    first_event_ms: int = 60_000
    between_bytes_ms: int = 60_000
    between_events_ms: int = 120_000
    total_ms: int = 600_000


class DataPolicy(msgspec.Struct, frozen=True):
    """What the provider says it does with content."""

    retention_days: int = 30
    """0: zero data retention."""
    trains: bool = False


class Provider(msgspec.Struct, frozen=True):
    """Who we call."""

    slug: str
    name: str
    base_url: str
    """Scheme, host and path prefix, without a trailing slash; may hold `{placeholders}` filled from settings."""
    wire_format: str
    """The adapter: openai_chat, anthropic_messages, ..."""
    auth: str
    """The signing scheme: bearer, x-api-key, sigv4, google, none, ..."""
    country: str
    """ISO 3166 alpha-2 of where content is processed; `--` for this machine."""
    secret: str = ""
    """Environment variable of the shared credential on one machine, and last part of its name in a secret store."""
    policy: DataPolicy = DataPolicy()
    quirks: frozenset[str] = frozenset()
    timeouts: Timeouts = Timeouts()
    price_source: str = ""
    """Provider id in genai-prices, or empty when all prices are in our own rows."""
    lacks: frozenset[str] = frozenset()
    """Parameters that it refuses although its wire format has them."""


class Capabilities(msgspec.Struct, frozen=True):
    """What an endpoint can do; conservative defaults."""

    operations: frozenset[str] = frozenset({"chat"})
    tools: bool = False
    vision: bool = False
    files: bool = False
    audio: bool = False
    json_schema: bool = False
    reasoning: bool = False
    context_tokens: int = 8_192
    output_tokens_max: int = 4_096
    parameters: frozenset[str] = frozenset()
    """Request parameters that the endpoint honours, in OpenAI's words (translation/canonical/parameters.py); empty: not known."""
    distillable: bool = False
    """The model's author lets other models be trained on what it writes (catalog/distillable.py)."""


class Endpoint(msgspec.Struct, frozen=True):
    """One model at one provider."""

    id: str
    """`<model id>@<provider slug>`, unique."""
    model: str
    provider: str
    upstream_model: str
    """The name that the provider knows."""
    capabilities: Capabilities
    price: Price | None
    """None: unpriced, and therefore never used. A free model has explicit zeros."""
    quantization: str = "unknown"
    timeouts: Timeouts | None = None
    """Overrides the provider's."""
    wire_format: str = ""
    """Overrides the provider's: some models are served through another API of the same host."""
    quirks: frozenset[str] = frozenset()
    """Of this model, beside the provider's own."""


class Model(msgspec.Struct, frozen=True):
    """What a client asks for."""

    id: str
    """`author/slug`, lower case."""
    name: str
    endpoints: tuple[Endpoint, ...]
    created: int = 0
    """Unix seconds; 0 when unknown."""


class Catalog(msgspec.Struct, frozen=True):
    """One immutable snapshot for one region."""

    version: str
    region: str
    currency: str
    providers: dict[str, Provider]
    models: dict[str, Model]
    aliases: dict[str, str]
    """Other names of a model (`gpt-4o-mini`) -> its id (`openai/gpt-4o-mini`)."""

"""The schema of the catalogue's files. A field that is missing, unknown or of another type stops the start with its name.

providers.toml        who we call: one `[[provider]]` each, with one address per region
prices.toml           prices that we know better than genai-prices: dated, appended, never overwritten
data/models.json      models and prices by source, made by `python -m handlers.catalog.generate`
"""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from handlers.catalog.entries import NANO, DataPolicy, Period, Rates, Timeouts

FILE_BYTES_MAX = 8 * 1024 * 1024
ROWS_MAX = 20_000


class CatalogError(ValueError):
    """A catalogue file is wrong; the message names the file, the row and the field."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row that accepts exactly its fields."""


class SiteRow(Strict, frozen=True):
    """Where a provider stands for one of our regions."""

    base_url: str
    country: str
    price_source: str = ""


class ProviderRow(Strict, frozen=True):
    """One provider; `global` and `china` are its addresses per region, at least one of them."""

    slug: str
    name: str
    wire_format: str
    auth: str
    secret: str = ""
    policy: DataPolicy = DataPolicy()
    quirks: frozenset[str] = frozenset()
    timeouts: Timeouts = Timeouts()
    lacks: frozenset[str] = frozenset()
    """Parameters that it refuses although its wire format has them, in the words of translation/canonical/parameters.py."""
    global_site: SiteRow | None = msgspec.field(default=None, name="global")
    china_site: SiteRow | None = msgspec.field(default=None, name="china")

    def site(self, region: str) -> SiteRow | None:
        """The address for a region of ours."""
        return self.global_site if region == "global" else self.china_site


class OwnTier(Strict, frozen=True):
    """Rates from a prompt length on: decimal strings, units of currency per million (per request for `per_request`)."""

    rates: dict[str, str]
    above: int = 0
    """Prompt tokens beyond which these rates apply to the whole request."""


class OwnPrice(Strict, frozen=True):
    """One dated price of one model at one provider."""

    provider: str
    model: str
    region: str
    since: date
    source: str
    """Where the figures stand, for whoever checks them."""
    tiers: tuple[OwnTier, ...]
    """None: the list price is not known, and what has no price is never used."""
    upstream: str = ""
    """The provider's own name of the model; required where no other source lists the model."""
    context_tokens: int = 0
    output_tokens_max: int = 0
    able: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()
    """Windows in UTC, such as `01:00-04:00`; empty: all day."""
    weekdays: tuple[int, ...] = ()


class PricedTiers(Strict, frozen=True):
    """Tiers with the time they hold; the first of a model has no period and stands."""

    tiers: tuple[tuple[int, Rates], ...]
    period: Period | None = None


class ModelRow(Strict, frozen=True):
    """One model in one price source."""

    model: str
    upstream: str
    name: str = ""
    context_tokens: int = 0
    output_tokens_max: int = 0
    able: tuple[str, ...] = ()
    operations: tuple[str, ...] = ("chat",)
    prices: tuple[PricedTiers, ...] = ()
    """Empty: no price that we can express, so the model is never used."""
    aliases: tuple[str, ...] = ()
    """Other names that the provider's price list gives it."""
    wire_format: str = ""
    quirks: tuple[str, ...] = ()
    slow: bool = False
    """It may think for many minutes before its first event."""


class Source(Strict, frozen=True):
    """The models of one price source."""

    version: str
    models: tuple[ModelRow, ...]


class _ProviderFile(Strict, frozen=True):
    provider: tuple[ProviderRow, ...]


class _PriceFile(Strict, frozen=True):
    price: tuple[OwnPrice, ...]


def _read_toml(path: Path | None, name: str) -> object:
    data = path.read_bytes() if path else resources.files("handlers.catalog").joinpath(name).read_bytes()
    if len(data) > FILE_BYTES_MAX:
        raise CatalogError(f"{name} is larger than {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(data.decode())
    except ValueError as problem:
        raise CatalogError(f"{name} is not TOML: {problem}") from None


def read_providers(path: Path | None = None) -> tuple[ProviderRow, ...]:
    """The rows of providers.toml (or of another file of that shape)."""
    try:
        return msgspec.convert(_read_toml(path, "providers.toml"), _ProviderFile).provider
    except msgspec.ValidationError as problem:
        raise CatalogError(f"providers.toml: {problem}") from None


def read_own_prices(path: Path | None = None) -> tuple[OwnPrice, ...]:
    """The rows of prices.toml (or of another file of that shape)."""
    try:
        return msgspec.convert(_read_toml(path, "prices.toml"), _PriceFile).price
    except msgspec.ValidationError as problem:
        raise CatalogError(f"prices.toml: {problem}") from None


@cache
def _raw_sources() -> dict[str, msgspec.Raw]:
    data = resources.files("handlers.catalog").joinpath("data/models.json").read_bytes()
    if len(data) > FILE_BYTES_MAX:
        raise CatalogError(f"data/models.json is larger than {FILE_BYTES_MAX} bytes")
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


def read_source(name: str) -> Source:
    """One price source of data/models.json; only those asked for are decoded."""
    raw = _raw_sources().get(name)
    if raw is None:
        raise CatalogError(f"providers.toml names the price source {name}, which data/models.json does not have")
    try:
        source = msgspec.json.decode(raw, type=Source)
    except msgspec.ValidationError as problem:
        raise CatalogError(f"data/models.json, source {name}: {problem}") from None
    if len(source.models) > ROWS_MAX:
        raise CatalogError(f"data/models.json, source {name}: more than {ROWS_MAX} models")
    return source


def to_nano(amount: str | Decimal) -> int:
    """A decimal amount of currency as nano-units, exactly; raises CatalogError when a fraction would be lost."""
    nano = Decimal(amount) * NANO
    if nano != nano.to_integral_value() or nano < 0:
        raise CatalogError(f"the amount {amount} is negative or finer than a nano-unit")
    return int(nano)


_FALLBACKS = (
    ("cache_read", "input"),
    ("cache_write_5m", "input"),
    ("cache_write_1h", "cache_write_5m"),
    ("reasoning", "output"),
    ("audio_input", "input"),
    ("audio_output", "output"),
    ("image_input", "input"),
    ("image_output", "output"),
)


def complete_rates(given: dict[str, int]) -> Rates:
    """Rates in nano-units, where a class of tokens without its own price costs what the general class costs."""
    unknown = given.keys() - set(Rates.__struct_fields__)
    if unknown:
        raise CatalogError(f"a price has the unknown rates {', '.join(sorted(unknown))}")
    rates = dict(given)
    for name, general in _FALLBACKS:
        rates.setdefault(name, rates.get(general, 0))
    return Rates(**rates)

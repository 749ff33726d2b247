"""From the rows of the catalogue's files to one immutable snapshot for one region.

Theory of operation
    A provider's models come from its price source, if it has one, and from our own price rows, which win. A model that several
    providers serve has one id and several endpoints. What has no price we can express keeps `price=None` and is never used.

Rules, checked whenever a snapshot is made
    The china catalogue has addresses in the mainland (or on this machine) only; the global one has none there.
    Slugs and endpoint ids are unique, wire formats are known, addresses are https or this machine's.
    A catalogue that breaks a rule stops the start; the message names the row.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from handlers.catalog.distillable import is_distillable
from handlers.catalog.entries import (
    Capabilities,
    Catalog,
    Endpoint,
    Model,
    Period,
    Price,
    Provider,
    Rates,
    Timeouts,
)
from handlers.catalog.rows import (
    CatalogError,
    ModelRow,
    OwnPrice,
    ProviderRow,
    SiteRow,
    complete_rates,
    read_own_prices,
    read_providers,
    read_source,
    to_nano,
)
from handlers.translation.canonical.parameters import TAKEN, taken

CURRENCIES = {"global": "USD", "china": "CNY"}
WIRE_FORMATS = frozenset(TAKEN)
CONTEXT_TOKENS_UNKNOWN = 131_072
OUTPUT_TOKENS_UNKNOWN = 32_768
SLOW = Timeouts(headers_ms=600_000, first_event_ms=900_000, between_events_ms=600_000, total_ms=3_600_000)
"""For models that may think for many minutes before they say anything."""
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,62}")
_COUNTRY = re.compile(r"[A-Z]{2}|--")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Tiers = tuple[tuple[int, Rates], ...]


def load_catalog(
    region: str,
    *,
    enabled: frozenset[str] | None = None,
    providers_file: Path | None = None,
    prices_file: Path | None = None,
    now_s: float | None = None,
) -> Catalog:
    """The snapshot of a region.

    Args:
        region: global | china.
        enabled: slugs of the providers to include; None includes all. An unknown slug is an error.
        providers_file: read instead of the package's providers.toml.
        prices_file: read instead of the package's prices.toml.
        now_s: Unix seconds; prices that a later one has replaced by then are left behind. None: now.

    Raises:
        CatalogError: a file is wrong; the message names the row and the field.
    """
    rows = _select(read_providers(providers_file), region, enabled)
    providers = {row.slug: _provider(row, site) for row, site in rows}
    own = [price for price in read_own_prices(prices_file) if price.region == region and price.provider in providers]
    moment = time.time() if now_s is None else now_s
    endpoints: dict[str, Endpoint] = {}
    names: dict[str, str] = {}
    spoken: dict[str, set[str]] = {}
    sources: set[str] = set()
    for provider in providers.values():
        for row, version in _from_source(provider):
            endpoint = _endpoint(provider, row, _source_price(row, version, moment))
            endpoints[endpoint.id] = endpoint
            names.setdefault(row.model, row.name)
            spoken.setdefault(row.model, set()).update(row.aliases)
            sources.add(version)
    for key, prices in _grouped(own).items():
        endpoint = _from_own(prices, providers[key[0]], endpoints.get(f"{key[1]}@{key[0]}"), moment)
        endpoints[endpoint.id] = endpoint
    sources |= {max((_own_version(price) for price in own), default="catalog/empty")}
    return assemble("+".join(sorted(sources)), region, providers, endpoints.values(), names, spoken)


def assemble(
    version: str,
    region: str,
    providers: dict[str, Provider],
    endpoints: Iterable[Endpoint],
    names: Mapping[str, str],
    spoken: Mapping[str, set[str]],
) -> Catalog:
    """A snapshot from its parts; `names` are for display, `spoken` are further names that clients may use."""
    by_model: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        by_model.setdefault(endpoint.model, []).append(endpoint)
    models = {
        model: Model(model, names.get(model) or model.partition("/")[2], tuple(found))
        for model, found in sorted(by_model.items())
    }
    return Catalog(version, region, CURRENCIES[region], providers, models, _aliases(models, spoken))


def _select(
    rows: tuple[ProviderRow, ...], region: str, enabled: frozenset[str] | None
) -> list[tuple[ProviderRow, SiteRow]]:
    if region not in CURRENCIES:
        raise CatalogError(f"there is no region {region}: use one of {', '.join(CURRENCIES)}")
    slugs = [row.slug for row in rows]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise CatalogError(f"providers.toml: the slug {slug} stands twice")
    for row in rows:
        _check_row(row)
    here = [(row, site) for row in rows if (site := row.site(region)) is not None]
    if enabled is None:
        return here
    unknown = enabled - {row.slug for row, _ in here}
    if foreign := unknown & set(slugs):
        raise CatalogError(
            f"the {region} catalogue has no provider {', '.join(sorted(foreign))}: only the other region calls it "
            "(region_restricted)"
        )
    if unknown:
        raise CatalogError(f"the {region} catalogue has no provider {', '.join(sorted(unknown))}")
    return [(row, site) for row, site in here if row.slug in enabled]


def _check_row(row: ProviderRow) -> None:
    where = f"providers.toml: {row.slug}"
    if not _SLUG.fullmatch(row.slug):
        raise CatalogError(f"{where}: a slug is lower-case letters, digits and hyphens")
    if row.wire_format not in WIRE_FORMATS:
        raise CatalogError(f"{where}: wire_format {row.wire_format} is none of {', '.join(sorted(WIRE_FORMATS))}")
    if row.global_site is None and row.china_site is None:
        raise CatalogError(f"{where}: it needs an address: global, china or both")
    for region, site in (("global", row.global_site), ("china", row.china_site)):
        if site is not None:
            _check_site(where, region, site)


def _check_site(where: str, region: str, site: SiteRow) -> None:
    if not _COUNTRY.fullmatch(site.country):
        raise CatalogError(f"{where}: country {site.country} is no ISO 3166 code (or -- for this machine)")
    if site.country != "--" and (site.country == "CN") != (region == "china"):
        raise CatalogError(f"{where}: an address in {site.country} does not belong to the {region} catalogue")
    url = urlsplit(site.base_url)
    secure = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK and site.country == "--")
    if not secure or not url.hostname or site.base_url.endswith("/"):
        raise CatalogError(f"{where}: base_url is https (http on this machine only) and does not end with a slash")


def _provider(row: ProviderRow, site: SiteRow) -> Provider:
    return Provider(
        slug=row.slug,
        name=row.name,
        base_url=site.base_url,
        wire_format=row.wire_format,
        auth=row.auth,
        country=site.country,
        secret=row.secret,
        policy=row.policy,
        quirks=row.quirks,
        timeouts=row.timeouts,
        price_source=site.price_source,
        lacks=row.lacks,
    )


def _from_source(provider: Provider) -> Iterable[tuple[ModelRow, str]]:
    """(row, version) for each model of the provider's price source."""
    if not provider.price_source:
        return
    source = read_source(provider.price_source)
    for row in source.models:
        yield row, source.version


def _source_price(row: ModelRow, version: str, now_s: float) -> Price | None:
    if not row.prices:
        return None
    first, *rest = row.prices
    return _settled(version, first.tiers, [(priced.period or Period(), priced.tiers) for priced in rest], now_s)


def _settled(version: str, tiers: Tiers, periods: list[tuple[Period, Tiers]], now_s: float) -> Price:
    """A price without the past: the last all-day period that has begun is the standing price from now on."""
    for position, (period, others) in reversed(list(enumerate(periods))):
        if period.since_s <= now_s and period.always:
            tiers, periods = others, periods[position + 1 :]
            break
    return Price(version, tiers, tuple(periods))


def _endpoint(provider: Provider, row: ModelRow, price: Price | None) -> Endpoint:
    context_tokens = row.context_tokens or CONTEXT_TOKENS_UNKNOWN
    able = frozenset(row.able)
    wire_format, quirks = row.wire_format or provider.wire_format, frozenset(row.quirks)
    return Endpoint(
        id=f"{row.model}@{provider.slug}",
        model=row.model,
        provider=provider.slug,
        upstream_model=row.upstream,
        capabilities=Capabilities(
            operations=frozenset(row.operations),
            tools="tools" in able,
            vision="vision" in able,
            files="files" in able,
            audio="audio" in able,
            json_schema="json_schema" in able,
            reasoning="reasoning" in able,
            context_tokens=context_tokens,
            output_tokens_max=row.output_tokens_max or min(context_tokens, OUTPUT_TOKENS_UNKNOWN),
            parameters=parameters_of(provider, wire_format, quirks, reasons="reasoning" in able),
            distillable=is_distillable(row.model),
        ),
        price=price,
        timeouts=SLOW if row.slow else None,
        wire_format=row.wire_format,
        quirks=quirks,
    )


def parameters_of(provider: Provider, wire_format: str, quirks: frozenset[str], *, reasons: bool) -> frozenset[str]:
    """What an endpoint of this provider honours; a model that does not reason does not honour its control."""
    return _parameters(wire_format, provider.quirks | quirks, provider.lacks, reasons)


@cache
def _parameters(wire_format: str, quirks: frozenset[str], lacks: frozenset[str], reasons: bool) -> frozenset[str]:  # noqa: FBT001 - private
    found = taken(wire_format, quirks, lacks)
    return found if reasons else found - {"reasoning", "reasoning_effort"}


def _grouped(prices: list[OwnPrice]) -> dict[tuple[str, str], list[OwnPrice]]:
    """Own prices by provider and model, each group in the order of its dates."""
    groups: dict[tuple[str, str], list[OwnPrice]] = {}
    for price in sorted(prices, key=lambda price: price.since):
        groups.setdefault((price.provider, price.model), []).append(price)
    return groups


def _from_own(prices: list[OwnPrice], provider: Provider, known: Endpoint | None, now_s: float) -> Endpoint:
    """An endpoint from our dated rows; a known endpoint keeps its abilities and gets our price."""
    where = f"prices.toml: {prices[0].model} at {provider.slug}"
    prices = [price for price in prices if price.tiers] or prices
    standing = prices[0]
    if standing.hours or standing.weekdays:
        raise CatalogError(f"{where}: the first row is the standing price and has neither hours nor weekdays")
    price = None
    if standing.tiers:
        periods = [(period, _own_tiers(price)) for price in prices[1:] for period in _periods(price, where)]
        price = _settled(_own_version(prices[-1]), _own_tiers(standing), periods, now_s)
    if known is not None:
        return msgspec.structs.replace(known, price=price, upstream_model=standing.upstream or known.upstream_model)
    if not standing.upstream:
        raise CatalogError(f"{where}: no other source lists this model, so `upstream` must name it")
    row = ModelRow(
        model=standing.model,
        upstream=standing.upstream,
        context_tokens=standing.context_tokens,
        output_tokens_max=standing.output_tokens_max,
        able=standing.able,
        operations=standing.operations or ("chat",),
    )
    return _endpoint(provider, row, price)


def _own_version(price: OwnPrice) -> str:
    return f"catalog/{price.since.isoformat()}"


def _own_tiers(price: OwnPrice) -> Tiers:
    tiers = tuple(
        (
            tier.above + 1 if tier.above else 0,
            complete_rates({name: to_nano(rate) for name, rate in tier.rates.items()}),
        )
        for tier in price.tiers
    )
    floors = [floor for floor, _ in tiers]
    if not floors or floors[0] != 0 or floors != sorted(set(floors)):
        raise CatalogError(f"prices.toml: {price.model} at {price.provider}: tiers start at 0 and ascend")
    return tiers


def _periods(price: OwnPrice, where: str) -> Iterable[Period]:
    since_s = int(datetime(price.since.year, price.since.month, price.since.day, tzinfo=UTC).timestamp())
    if not price.hours:
        yield Period(since_s=since_s, weekdays=price.weekdays)
    for window in price.hours:
        match = _HOURS.fullmatch(window)
        if match is None:
            raise CatalogError(f"{where}: {window} is no window of hours such as 01:00-04:00")
        start_h, start_m, end_h, end_m = map(int, match.groups())
        yield Period(since_s, start_h * 60 + start_m, end_h * 60 + end_m, price.weekdays)


def _aliases(models: Mapping[str, Model], spoken: Mapping[str, set[str]]) -> dict[str, str]:
    """Other names, where they mean one model only.

    The part after the author comes first, then what providers call the model, then what price lists call it: a name that
    means something at one level means nothing else at the next.
    """
    aliases: dict[str, str] = {}
    taken = set(models)
    for names_of in (_slugs, _upstream_names, lambda model: spoken.get(model.id, set())):
        meanings: dict[str, set[str]] = {}
        for model in models.values():
            author = model.id.partition("/")[0]
            for name in names_of(model):
                for spelling in {name, name.lower(), name if "/" in name else f"{author}/{name}"}:
                    meanings.setdefault(spelling, set()).add(model.id)
        aliases |= {name: next(iter(ids)) for name, ids in meanings.items() if len(ids) == 1 and name not in taken}
        taken |= meanings.keys()
    return aliases


def _slugs(model: Model) -> set[str]:
    return {model.id.partition("/")[2]}


def _upstream_names(model: Model) -> set[str]:
    return {endpoint.upstream_model for endpoint in model.endpoints}

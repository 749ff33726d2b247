"""In which order the endpoints of a plan are tried: preferences order, and exclude nothing.

Order within a model: the client's `order`; else who made the provider-bound material in the request; else who served the conversation last, if cached tokens are cheaper there; else
the client's `sort`; else drawn one after the other with a weight of 1/price squared, for a conversation by its name, so
that every replica draws alike. What misses a preferred speed comes behind what reaches it, and what is cooling down or
broken comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from zlib import crc32

from handlers.catalog.entries import Endpoint
from handlers.gateway.attempts import Attempt
from handlers.gateway.call import Call
from handlers.gateway.figure_shapes import PERCENTILES
from handlers.gateway.health import Condition, HealthSnapshot
from handlers.gateway.preferences import Percentiles, Preferences, SortRule

NOMINAL_PROMPT_TOKENS, NOMINAL_COMPLETION_TOKENS = 3, 1
"""The mix by which endpoints are compared on price when nothing is known of the request."""
SORTED_BY_SUFFIX = {"nitro": "throughput", "floor": "price"}


class Circumstances(NamedTuple):
    """What the order depends on beside the attempts."""

    call: Call
    health: HealthSnapshot
    account: str
    seed: int
    """Of the draw: the plan's, or the conversation's."""
    stay: tuple[str, str]
    """(endpoint, health key) that served the conversation last, or empty strings."""
    maker: tuple[str, str] = ("", "")
    """(provider, health key) that made the newest provider-bound material in the call, or empty strings."""

    def made_it(self, attempt: Attempt) -> bool:
        """Whether the attempt's credential is the only one that can read that material."""
        return (attempt.provider.slug, attempt.health_key) == self.maker


def price_of(endpoint: Endpoint) -> int:
    """Nano-units for the nominal mix of tokens: a number to compare endpoints by."""
    if endpoint.price is None:
        return 0
    rates = endpoint.price.tiers[0][1]
    return NOMINAL_PROMPT_TOKENS * rates.input + NOMINAL_COMPLETION_TOKENS * rates.output


def saves_by_cache(endpoint: Endpoint) -> bool:
    """Tokens that its cache holds are cheaper than others."""
    if endpoint.price is None:
        return False
    rates = endpoint.price.tiers[0][1]
    return 0 < rates.cache_read < rates.input


def in_order(attempts: list[Attempt], suffix: str, given: Circumstances) -> list[Attempt]:
    """The attempts, first to last."""
    if len(attempts) < 2:
        return attempts
    wishes, health = given.call.preferences, given.health
    rank = {slug: position for position, slug in enumerate(wishes.order)}
    first = sorted(
        (a for a in attempts if a.provider.slug in rank), key=lambda a: (rank[a.provider.slug], not given.made_it(a))
    )
    rest = [a for a in attempts if a.provider.slug not in rank]
    rest = _sorted(rest, wishes, suffix, given)
    if given.stay[0] and not rank:
        rest.sort(key=lambda a: (a.endpoint.id, a.health_key) != given.stay)
    # Own credentials first where both kinds may serve, unless a conversation would lose what only the other can read;
    # broken endpoints last, whatever the wishes for order.
    rest.sort(
        key=lambda a: (
            _rank(a, given),
            _misses(a, wishes, health),
            not given.made_it(a),
            a.credential != "byok",
        )
    )
    first.sort(key=lambda a: health.condition(a.endpoint.id, a.health_key).rank >= Condition.OPEN.rank)
    return first + rest


def _rank(attempt: Attempt, given: Circumstances) -> int:
    """How fit it is; who made the material in the call is not left for one failure of its own."""
    condition = given.health.condition(attempt.endpoint.id, attempt.health_key, given.account)
    return 0 if condition is Condition.SHAKY and given.made_it(attempt) else condition.rank


def _sorted(rest: list[Attempt], wishes: Preferences, suffix: str, given: Circumstances) -> list[Attempt]:
    sort = wishes.sort
    by = (sort.by if isinstance(sort, SortRule) else sort) or SORTED_BY_SUFFIX.get(suffix, "")
    figure = _FIGURES.get(by)
    if figure is not None:
        return sorted(rest, key=lambda a: figure(a, given.health))
    if len(rest) < 2:
        return rest
    return _weighted(rest, given.seed)


_FIGURES: Mapping[str, Callable[[Attempt, HealthSnapshot], float]] = {
    "price": lambda attempt, _: price_of(attempt.endpoint),
    "throughput": lambda attempt, health: -health.throughput(attempt.endpoint.id),
    "latency": lambda attempt, health: health.latency_ms(attempt.endpoint.id),
}


def _weighted(attempts: list[Attempt], seed: int) -> list[Attempt]:
    """All attempts, drawn without replacement with weight 1/price squared.

    Efraimidis and Spirakis: the largest u^(1/w) first is a weighted draw without replacement. Each endpoint's u follows from
    the seed and its own name, so what happens to one endpoint never reorders the others.
    """
    keyed = []
    for attempt in attempts:
        price = price_of(attempt.endpoint) / 1e9 + 1e-6
        keyed.append((_uniform(seed, attempt.endpoint.id) ** (price * price), attempt.endpoint.id, attempt))
    keyed.sort(key=lambda item: (-item[0], item[1]))
    return [attempt for _, _, attempt in keyed]


_MASK = 0xFFFF_FFFF_FFFF_FFFF


def _uniform(seed: int, name: str) -> float:
    """A number in (0, 1] from a seed and a name: the finisher of splitmix64 over both."""
    mixed = (seed * 0x9E37_79B9_7F4A_7C15 + crc32(name.encode()) * 0xD1B5_4A32_D192_ED03) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & _MASK
    return ((mixed ^ mixed >> 31) + 1) / (_MASK + 1)


def _misses(attempt: Attempt, wishes: Preferences, health: HealthSnapshot) -> bool:
    """It is known to be slower than preferred. An endpoint without figures is given the chance to have some."""
    if wishes.preferred_min_throughput is None and wishes.preferred_max_latency is None:
        return False
    figures = health.figures(attempt.endpoint.id)
    if figures is None:
        return False
    slow = any(
        wanted is not None and 0 < reached < wanted
        for wanted, reached in zip(_thresholds(wishes.preferred_min_throughput), figures.throughput, strict=True)
    )
    late = any(
        wanted is not None and needed > wanted * 1000
        for wanted, needed in zip(_thresholds(wishes.preferred_max_latency), figures.latency_ms, strict=True)
    )
    return slow or late


def _thresholds(wish: float | Percentiles | None) -> tuple[float | None, ...]:
    """A threshold for each of `PERCENTILES`; a plain number means the median."""
    if isinstance(wish, Percentiles):
        return (wish.p50, wish.p75, wish.p90, wish.p99)
    return (wish, *(None,) * (len(PERCENTILES) - 1))

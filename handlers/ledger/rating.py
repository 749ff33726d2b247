"""Usage and price -> charge. Integers throughout; rounded up once, per request, at the very end.

Rates are nano-units per million, so counter x rate is in millionths of a nano-unit ("grains"). Only the sum of all grains,
markup included, is divided.
"""

from __future__ import annotations

from msgspec.structs import astuple

from handlers.catalog.entries import PER_MILLION, Price, Rates
from handlers.translation.canonical.usage import Usage

_RATED = tuple(name for name in Rates.__struct_fields__ if name != "per_request")
if Usage.__struct_fields__[: len(_RATED)] != _RATED:
    raise TypeError(
        "usage and rates name the same units in the same order, so that each is multiplied by its own price"
    )


def round_up_to_nano(grains: int, markup_ppm: int) -> int:
    """Millionths of a nano-unit with markup -> nano-units: the one place where money is rounded."""
    return -(-grains * (PER_MILLION + markup_ppm) // (PER_MILLION * PER_MILLION))


def rate(usage: Usage, price: Price, *, markup_ppm: int = 0) -> int:
    """The charge for a usage at a price, in nano-units; give the price in force at admission (`Price.at`).

    A negative counter, which only a broken provider reports, counts as zero.
    """
    counts: tuple[int, ...] = astuple(usage)
    rates = _rates_for(usage, counts, price)
    grains: int = rates.per_request * PER_MILLION
    for unit, nano_per_million in enumerate(rates.per_unit):
        if counts[unit] > 0:
            grains += counts[unit] * nano_per_million
    return round_up_to_nano(grains, markup_ppm)


def _rates_for(usage: Usage, counts: tuple[int, ...], price: Price) -> Rates:
    """Of the tier that the prompt reaches; where there is but one, nobody needs to know how long the prompt was."""
    tiers = price.tiers
    if len(tiers) == 1:
        return tiers[0][1]
    if min(counts) < 0:
        usage = Usage(*(max(count, 0) for count in astuple(usage)))
    return price.rates_at(usage.prompt_tokens)


def charge_for(usage: Usage, price: Price, *, semantic: bool, hold_nano: int, markup_ppm: int = 0) -> int:
    """The charge after the two promises to the customer: no semantic output costs nothing, and never more than was held."""
    return min(rate(usage, price, markup_ppm=markup_ppm), hold_nano) if semantic else 0

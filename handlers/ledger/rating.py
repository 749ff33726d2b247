"""Usage and price -> charge. Integers throughout; rounded up once, per request, at the very end.

Rates are nano-units per million, so counter x rate is in millionths of a nano-unit ("grains"). Only the sum of all grains,
markup included, is divided.
"""

from __future__ import annotations

from operator import mul

import msgspec
from msgspec.structs import astuple

from handlers.catalog.entries import PER_MILLION, Price, Rates
from handlers.translation.canonical.usage import NO_USAGE, Usage

_RATED = tuple(name for name in Rates.__struct_fields__ if name != "per_request")
if Usage.__struct_fields__[: len(_RATED)] != _RATED:
    raise TypeError(
        "usage and rates name the same units in the same order, so that each is multiplied by its own price"
    )


class Charge(msgspec.Struct, frozen=True):
    """What one request costs, and what for."""

    cost_nano: int
    usage: Usage = NO_USAGE
    rates: Rates = Rates()

    @property
    def by_class(self) -> dict[str, int]:
        """Nano-units per class of usage; they add up to `cost_nano` exactly (largest remainders get the odd units)."""
        grains = dict(zip(_RATED, map(mul, astuple(self.usage), self.rates.per_unit), strict=False))
        grains["per_request"] = self.rates.per_request * PER_MILLION
        whole = sum(grains.values())
        parts = {name: divmod(part * self.cost_nano, whole) for name, part in grains.items() if part}
        shares = {name: share for name, (share, _) in parts.items()}
        odd = self.cost_nano - sum(shares.values())
        for name in sorted(parts, key=lambda name: -parts[name][1])[:odd]:
            shares[name] += 1
        return shares


FREE = Charge(0)


def round_up_to_nano(grains: int, markup_ppm: int) -> int:
    """Millionths of a nano-unit with markup -> nano-units: the one place where money is rounded."""
    return -(-grains * (PER_MILLION + markup_ppm) // (PER_MILLION * PER_MILLION))


def rate(usage: Usage, price: Price, *, markup_ppm: int = 0) -> Charge:
    """The charge for a usage at a price; give the price in force at admission (`Price.at`).

    A negative counter, which only a broken provider reports, counts as zero.
    """
    counts = astuple(usage)
    if min(counts) < 0:
        usage = Usage(*(max(count, 0) for count in counts))
        counts = astuple(usage)
    rates = price.rates_at(usage.prompt_tokens)
    grains = sum(map(mul, counts, rates.per_unit), rates.per_request * PER_MILLION)
    return Charge(round_up_to_nano(grains, markup_ppm), usage, rates)


def charge_for(usage: Usage, price: Price, *, semantic: bool, hold_nano: int, markup_ppm: int = 0) -> Charge:
    """The charge after the two promises to the customer: no semantic output costs nothing, and never more than was held."""
    if not semantic:
        return FREE
    charge = rate(usage, price, markup_ppm=markup_ppm)
    return charge if charge.cost_nano <= hold_nano else Charge(hold_nano, charge.usage, charge.rates)

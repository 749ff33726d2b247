"""The most that a plan can cost, and how much output a balance affords.

A hold must cover whichever attempt ends up serving the request, at its dearest tier, hour and class of tokens. Prompt tokens
are bounded by a third of the bytes and a little for what chat templates add; audio and images inside the body are longer in
bytes than in tokens, so the same bound covers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from handlers.catalog.entries import PER_MILLION, Endpoint, WorstRates
from handlers.ledger.rating import round_up_to_nano

BYTES_PER_TOKEN = 3
TEMPLATE_TOKENS = 64
SEARCHES_MAX = 8
"""Web searches that a request may cause if it asks for any, where the endpoint prices them."""


class _Bound(NamedTuple):
    """One endpoint in one tier: fixed grains, grains per output token, and its own output cap."""

    fixed: int
    per_token: int
    output_tokens_max: int


def quote(
    endpoints: Iterable[Endpoint],
    prompt_bytes: int,
    output_tokens_cap: int | None,
    choices: int = 1,
    searches: int = 0,
    markup_ppm: int = 0,
) -> int:
    """Worst case in nano-units over all endpoints; those without a price are never used and do not count.

    Args:
        endpoints: those of the plan.
        prompt_bytes: size of the request body.
        output_tokens_cap: what the client (or a clamp) allows; None: the model's own maximum.
        choices: how many answers were asked for.
        searches: how many web searches the request may cause.
        markup_ppm: added to the price.
    """
    prompt_tokens = -(-prompt_bytes // BYTES_PER_TOKEN) + TEMPLATE_TOKENS
    worst = 0
    for endpoint in endpoints:
        price = endpoint.price
        if price is None:
            continue
        tokens = endpoint.capabilities.output_tokens_max
        if output_tokens_cap is not None and output_tokens_cap < tokens:
            tokens = max(output_tokens_cap, 0)
        for rates in price.worst:
            if rates.floor <= prompt_tokens:
                fixed = _fixed(rates, prompt_tokens, prompt_bytes, choices, searches)
                amount = fixed + rates.writing * choices * tokens
                worst = max(worst, amount)
    return round_up_to_nano(worst, markup_ppm)


def affordable_output_tokens(
    endpoints: Iterable[Endpoint],
    budget_nano: int,
    *,
    prompt_bytes: int,
    choices: int = 1,
    searches: int = 0,
    markup_ppm: int = 0,
) -> int:
    """The largest output cap whose quote is within the budget; 0 when even the prompt is beyond it."""
    budget = max(budget_nano, 0) * PER_MILLION * PER_MILLION // (PER_MILLION + markup_ppm)
    bounds = list(_bounds(endpoints, prompt_bytes, choices, searches))
    tokens = max((bound.output_tokens_max for bound in bounds), default=0)
    for bound in bounds:
        if bound.fixed > budget:
            return 0
        # An endpoint whose own maximum is affordable bounds nothing: a larger cap costs no more there.
        if bound.fixed + bound.per_token * bound.output_tokens_max > budget:
            tokens = min(tokens, (budget - bound.fixed) // bound.per_token)
    return tokens


def _bounds(endpoints: Iterable[Endpoint], prompt_bytes: int, choices: int, searches: int) -> Iterator[_Bound]:
    prompt_tokens = -(-prompt_bytes // BYTES_PER_TOKEN) + TEMPLATE_TOKENS
    for endpoint in endpoints:
        if endpoint.price is None:
            continue
        for rates in endpoint.price.worst:
            if rates.floor <= prompt_tokens:
                fixed = _fixed(rates, prompt_tokens, prompt_bytes, choices, searches)
                yield _Bound(fixed, rates.writing * choices, endpoint.capabilities.output_tokens_max)


def _fixed(rates: WorstRates, prompt_tokens: int, prompt_bytes: int, choices: int, searches: int) -> int:
    """Grains that do not depend on the output."""
    return (
        prompt_tokens * rates.reading
        + prompt_bytes * rates.per_byte
        + choices * rates.images
        + searches * rates.searches
        + rates.per_request * PER_MILLION
    )

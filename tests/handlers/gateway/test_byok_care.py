"""What a check asks with: the cheapest model that the record may be used for."""

from __future__ import annotations

import msgspec
import pytest

from handlers.catalog.loading import load_catalog
from handlers.gateway.byok_care import ENDPOINTS_MAX, cheapest

CATALOG = load_catalog("global")


def cost(model: str, provider: str) -> int:
    (endpoint,) = (each for each in CATALOG.models[model].endpoints if each.provider == provider)
    assert endpoint.price is not None
    rates = endpoint.price.tiers[0][1]
    return rates.input + rates.output


def test_the_cheapest_chat_models_without_reasoning_come_first() -> None:
    found = cheapest(CATALOG, "openai", "{}")
    assert len(found) == ENDPOINTS_MAX
    assert all("chat" in each.capabilities.operations and not each.capabilities.reasoning for each in found)
    costs = [cost(each.model, "openai") for each in found]
    assert costs == sorted(costs)


def test_a_check_stays_within_the_records_scope() -> None:
    scope = msgspec.json.encode({"models": ["openai/gpt-4o*"]}).decode()
    assert {each.model.startswith("openai/gpt-4o") for each in cheapest(CATALOG, "openai", scope)} == {True}
    assert cheapest(CATALOG, "openai", msgspec.json.encode({"models": []}).decode()) == []


@pytest.mark.parametrize("region", ["global", "china"])
def test_every_provider_that_answers_questions_can_be_asked(region: str) -> None:
    catalog = load_catalog(region)
    able = {
        endpoint.provider
        for model in catalog.models.values()
        for endpoint in model.endpoints
        if endpoint.capabilities.operations & {"chat", "embeddings"}
    }
    assert able
    assert {slug for slug in able if not cheapest(catalog, slug, "{}")} == set()

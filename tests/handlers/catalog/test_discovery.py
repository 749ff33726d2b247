from __future__ import annotations

import pytest

from handlers.catalog.discovery import FOUND_MAX, with_models
from handlers.catalog.entries import Rates
from handlers.catalog.loading import load_catalog
from handlers.catalog.names import find_model
from handlers.catalog.rows import CatalogError

CATALOG = load_catalog("global", enabled=frozenset({"ollama", "vllm", "openai"}))


def test_found_models_cost_an_explicit_nothing() -> None:
    found = with_models(CATALOG, "ollama", ["llama3.2:1b", "Qwen/Qwen2.5-0.5B"])
    model = found.models["ollama/llama3.2:1b"]
    price = model.endpoints[0].price
    assert price is not None
    assert price.tiers == ((0, Rates()),)
    assert model.endpoints[0].upstream_model == "llama3.2:1b"
    other = find_model(found, "Qwen/Qwen2.5-0.5B")
    assert other is not None
    assert other.endpoints[0].upstream_model == "Qwen/Qwen2.5-0.5B"


def test_the_old_snapshot_is_untouched_and_its_names_stay() -> None:
    found = with_models(CATALOG, "ollama", ["llama3.2"])
    assert "ollama/llama3.2" not in CATALOG.models
    assert set(CATALOG.models) < set(found.models)
    assert {alias: found.aliases[alias] for alias in CATALOG.aliases} == CATALOG.aliases
    assert with_models(found, "ollama", ["llama3.2"]) == found


def test_what_is_no_model_name_is_left_out() -> None:
    names = ["", "a b", "../../etc/passwd", "x" * 300, "ok\n", "-x", "\x00", "good"]
    found = with_models(CATALOG, "vllm", names)
    assert set(found.models) - set(CATALOG.models) == {"vllm/good"}


def test_a_server_cannot_flood_the_catalogue() -> None:
    found = with_models(CATALOG, "vllm", [f"model-{number}" for number in range(FOUND_MAX * 3)])
    assert len(found.models) - len(CATALOG.models) == FOUND_MAX


@pytest.mark.parametrize("provider", ["openai", "nobody"])
def test_models_are_found_on_this_machine_only(provider: str) -> None:
    with pytest.raises(CatalogError, match=provider):
        with_models(CATALOG, provider, ["x"])

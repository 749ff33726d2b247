from __future__ import annotations

import time

import pytest

from handlers.catalog.loading import load_catalog
from handlers.catalog.names import find_model, nearest_names

CATALOG = load_catalog("global")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("gpt4o-mini", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mni", "openai/gpt-4o-mini"),
        ("claude-sonet-4.5", "anthropic/claude-sonnet-4.5"),
        ("smollm2", "local/smollm2-135m"),
    ],
)
def test_a_slip_of_the_pen_is_understood(wanted: str, meant: str) -> None:
    assert meant in nearest_names(CATALOG, wanted)


@pytest.mark.parametrize("wanted", ["", "zzzzqqqq", "/", "💥" * 50])
def test_nothing_near_is_no_suggestion(wanted: str) -> None:
    assert nearest_names(CATALOG, wanted) == []


def test_as_many_as_asked_and_all_of_them_exist() -> None:
    found = nearest_names(CATALOG, "gpt-5", n=5)
    assert len(found) == 5
    assert set(found) <= set(CATALOG.models)


def test_it_stays_cheap_whatever_is_asked() -> None:
    nearest_names(CATALOG, "warm")
    started = time.perf_counter()
    for _ in range(20):
        nearest_names(CATALOG, "gpt-" * 100_000)
    assert (time.perf_counter() - started) / 20 < 0.05


def test_another_snapshot_has_its_own_names() -> None:
    china = load_catalog("china")
    assert nearest_names(china, "deepsek-flash")[0] == "deepseek/deepseek-flash"
    assert nearest_names(CATALOG, "gpt4o-mini")


def test_an_exact_name_wins_over_an_alias() -> None:
    for name in CATALOG.models:
        found = find_model(CATALOG, name)
        assert found is not None
        assert found.id == name
    assert find_model(CATALOG, "no/such-model") is None

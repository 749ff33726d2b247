"""What the other region has is refused by name, and what both have is not."""

from __future__ import annotations

import pytest

from handlers.catalog.elsewhere import (
    OTHER,
    hosts_elsewhere,
    is_elsewhere,
    models_elsewhere,
    providers_elsewhere,
    refuse_model,
    refuse_providers,
)
from handlers.catalog.loading import load_catalog
from handlers.catalog.rows import CatalogError
from handlers.errors import PermissionDenied


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("china", "openai/gpt-4o-mini"),
        ("china", "gpt-4o-mini"),
        ("china", "GPT-4o-mini"),
        ("china", "anthropic/claude-sonnet-4.5"),
        ("global", "tencent/hunyuan-turbos-latest"),
        ("global", "doubao-seed-1.6"),
    ],
)
def test_c45_a_model_of_the_other_region_is_known_as_such(region: str, name: str) -> None:
    assert is_elsewhere(region, name)
    assert not is_elsewhere(OTHER[region], name)


@pytest.mark.parametrize("region", ["global", "china"])
def test_what_a_region_has_itself_is_not_elsewhere(region: str) -> None:
    catalog = load_catalog(region)
    assert models_elsewhere(region).isdisjoint(catalog.models)
    assert models_elsewhere(region).isdisjoint(catalog.aliases)
    assert providers_elsewhere(region).isdisjoint(catalog.providers)
    assert not is_elsewhere(region, "nobody/has-this")
    assert not is_elsewhere(region, "local/smollm2-135m")


@pytest.mark.claim("C45")
def test_hosts_of_one_region_are_none_of_the_other() -> None:
    assert "api.openai.com" in hosts_elsewhere("china")
    assert "api.moonshot.cn" in hosts_elsewhere("global")
    assert hosts_elsewhere("china").isdisjoint(hosts_elsewhere("global"))
    assert "127.0.0.1" not in hosts_elsewhere("china") | hosts_elsewhere("global")


@pytest.mark.claim("C45", "C46", "C49")
@pytest.mark.parametrize(("region", "slug"), [("china", "openai"), ("global", "volcengine")])
def test_c46_a_provider_of_the_other_region_stops_the_start(region: str, slug: str) -> None:
    with pytest.raises(CatalogError, match=rf"{region} catalogue has no provider {slug}.*region_restricted"):
        load_catalog(region, enabled=frozenset({slug, "local"}))


def test_a_refusal_says_where_the_model_is() -> None:
    error = refuse_model("china")
    assert (error.http_status, error.code, error.param) == (403, "region_restricted", "model")
    assert error.detail == {"region": "global"}
    assert "/v1/models" in error.message


def test_only_who_insists_on_the_other_regions_providers_is_refused() -> None:
    refuse_providers("china", [])
    refuse_providers("china", ["openai", "deepseek"])
    with pytest.raises(PermissionDenied, match="global region only"):
        refuse_providers("china", ["openai", "anthropic"])

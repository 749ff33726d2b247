"""What is found on this machine, and what is left alone because it is the other region's."""

from __future__ import annotations

import socket

import pytest

from handlers.catalog.elsewhere import hosts_elsewhere
from handlers.catalog.loading import load_catalog
from handlers.local.discovery import find_model_servers, foreign_keys_in_environment, keys_in_environment
from tests.upstreams.scripted import ScriptedUpstream

NOWHERE = {"OLLAMA_HOST": "http://127.0.0.1:9", "VLLM_BASE_URL": "http://127.0.0.1:9"}


@pytest.mark.claim("C45", "C46")
def test_c46_an_address_of_the_other_region_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def resolve(host: object, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    addresses = {**NOWHERE, "LLAMACPP_BASE_URL": "https://api.openai.com/v1"}
    assert find_model_servers(addresses, elsewhere=hosts_elsewhere("china")) == []
    assert "api.openai.com" not in asked
    assert find_model_servers(addresses) == []
    assert "api.openai.com" in asked


def test_a_server_without_models_is_no_server() -> None:
    with ScriptedUpstream() as upstream:
        assert find_model_servers({**NOWHERE, "LLAMACPP_BASE_URL": upstream.url}) == []


@pytest.mark.claim("C49")
@pytest.mark.parametrize(
    ("region", "here", "there"),
    [("china", "ARK_API_KEY", "OPENAI_API_KEY"), ("global", "OPENAI_API_KEY", "ARK_API_KEY")],
)
def test_c49_a_credential_of_the_other_region_is_named_and_not_used(region: str, here: str, there: str) -> None:
    catalog = load_catalog(region)
    variables = {row.secret for row in load_catalog("china").providers.values()}
    variables |= {row.secret for row in load_catalog("global").providers.values()}
    assert {here, there} <= variables
    environment = {here: "x" * 20, there: "y" * 20}
    assert list(keys_in_environment(catalog.providers, environment).values()) == ["x" * 20]
    assert foreign_keys_in_environment(region, environment) == [there]

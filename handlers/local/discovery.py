"""What already runs on this machine: model servers on loopback, and provider keys in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from handlers.catalog.elsewhere import OTHER, providers_elsewhere
from handlers.catalog.entries import Provider
from handlers.catalog.loading import load_catalog

PROBE_TIMEOUT_S = 0.3


@dataclass(frozen=True)
class FoundServer:
    """A model server that answers on loopback."""

    provider: str
    base_url: str
    models: tuple[str, ...]


CANDIDATES = (
    ("ollama", "OLLAMA_HOST", "http://127.0.0.1:11434"),
    ("vllm", "VLLM_BASE_URL", "http://127.0.0.1:8000"),
    ("llamacpp", "LLAMACPP_BASE_URL", "http://127.0.0.1:8081"),
)
"""Provider, the variable that may name another address, the usual address."""


def find_model_servers(
    environment: Mapping[str, str] = os.environ, *, elsewhere: frozenset[str] = frozenset()
) -> list[FoundServer]:
    """Ask each usual address for its models (the OpenAI-compatible list); hosts that are `elsewhere` are asked nothing."""
    found = []
    with httpx.Client(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
        for provider, variable, usual in CANDIDATES:
            address = environment.get(variable, "").rstrip("/") or usual
            address = address if "://" in address else f"http://{address}"
            if (urlsplit(address).hostname or "").rstrip(".") in elsewhere:
                continue
            models = _models(client, address.removesuffix("/v1"))
            if models:
                found.append(FoundServer(provider, f"{address.removesuffix('/v1')}/v1", models))
    return found


def _models(client: httpx.Client, address: str) -> tuple[str, ...]:
    try:
        listed = client.get(f"{address}/v1/models").raise_for_status().json()
        return tuple(str(entry["id"]) for entry in listed["data"])[:1000]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ()


def keys_in_environment(
    providers: Mapping[str, Provider], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Provider slug -> the value of its credential's variable, for those that are set."""
    return {
        slug: environment[row.secret]
        for slug, row in sorted(providers.items())
        if row.secret and environment.get(row.secret, "").strip()
    }


def foreign_keys_in_environment(region: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that hold a credential of a provider that only the other region calls; nobody here is given them."""
    there = load_catalog(OTHER[region], enabled=providers_elsewhere(region))
    found = keys_in_environment(there.providers, environment)
    return sorted({there.providers[slug].secret for slug in found})

"""Models found at run time on servers of the user's own: Ollama, vLLM, llama.cpp. They cost an explicit nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from handlers.catalog.entries import Capabilities, Catalog, Endpoint, Price, Rates
from handlers.catalog.loading import CONTEXT_TOKENS_UNKNOWN, OUTPUT_TOKENS_UNKNOWN, assemble, parameters_of
from handlers.catalog.rows import CatalogError

FOUND_MAX = 1_000
FREE = Price("catalog/self-hosted", ((0, Rates()),))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")
_ABILITIES = Capabilities(
    operations=frozenset({"chat", "completions", "embeddings"}),
    tools=True,
    vision=True,
    json_schema=True,
    reasoning=True,
    context_tokens=CONTEXT_TOKENS_UNKNOWN,
    output_tokens_max=OUTPUT_TOKENS_UNKNOWN,
)


def with_models(catalog: Catalog, provider: str, names: Iterable[str]) -> Catalog:
    """A snapshot with these models of a self-hosted provider added, as `<provider>/<name>`.

    Names that are no plain model names are left out. Raises CatalogError for a provider that is not of this machine
    or not in the catalogue.
    """
    row = catalog.providers.get(provider)
    if row is None or row.country != "--":
        raise CatalogError(f"{provider} is no self-hosted provider of this catalogue")
    parameters = parameters_of(row, row.wire_format, frozenset(), reasons=True)
    able = msgspec.structs.replace(_ABILITIES, parameters=parameters)
    endpoints = {endpoint.id: endpoint for model in catalog.models.values() for endpoint in model.endpoints}
    display = {model.id: model.name for model in catalog.models.values()}
    spoken: dict[str, set[str]] = {}
    for alias, model_id in catalog.aliases.items():
        spoken.setdefault(model_id, set()).add(alias)
    for name in [name for name in names if _NAME.fullmatch(name)][:FOUND_MAX]:
        model = f"{provider}/{name.lower()}"
        found = Endpoint(f"{model}@{provider}", model, provider, name, able, FREE)
        endpoints.setdefault(found.id, found)
    return assemble(catalog.version, catalog.region, catalog.providers, endpoints.values(), display, spoken)

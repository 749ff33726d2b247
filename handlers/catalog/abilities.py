"""What models can do, as far as a public map of models tells; conservative where it does not.

The map is LiteLLM's `model_prices_and_context_window_backup.json` (MIT licence): `python -m handlers.catalog.abilities FILE`
reduces it to the facts that the catalogue needs and writes data/abilities.json. It is data: nothing of that package is run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from handlers.catalog.rows import CatalogError, Strict

FILE = Path(__file__).parent / "data" / "abilities.json"
PROVIDERS: Mapping[str, str] = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "gemini": "gemini",
    "mistral": "mistral",
    "groq": "groq",
    "xai": "xai",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "cerebras": "cerebras",
    "sambanova": "sambanova",
    "deepinfra": "deepinfra",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "voyage": "voyage",
    "jina_ai": "jina",
    "dashscope": "dashscope",
    "deepseek": "deepseek",
    "moonshot": "moonshot",
    "zai": "zai",
    "minimax": "minimax",
}
"""Providers of the map -> sources of ours."""

_FLAGS = (
    ("supports_function_calling", "tools"),
    ("supports_vision", "vision"),
    ("supports_pdf_input", "files"),
    ("supports_audio_input", "audio"),
    ("supports_response_schema", "json_schema"),
    ("supports_reasoning", "reasoning"),
)
_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "chat": ("chat",),
    "responses": ("chat",),
    "completion": ("completions",),
    "embedding": ("embeddings",),
    "moderation": ("moderations",),
    "rerank": ("rerank",),
    "image_generation": ("images",),
    "audio_transcription": ("transcriptions", "translations"),
    "audio_speech": ("speech",),
}
_RATES = (
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cache_read"),
    ("cache_creation_input_token_cost", "cache_write_5m"),
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ("output_cost_per_reasoning_token", "reasoning"),
)


class Ability(Strict, frozen=True):
    """What the map says about one model at one provider."""

    operations: tuple[str, ...]
    able: tuple[str, ...] = ()
    context_tokens: int = 0
    output_tokens_max: int = 0
    tiers: tuple[tuple[int, dict[str, str]], ...] = ()
    """(prompt tokens beyond which, decimal USD per million); only of providers that genai-prices does not have."""
    responses: bool = False
    """Served through OpenAI's Responses API alone."""
    quirks: tuple[str, ...] = ()


class Abilities(Strict, frozen=True):
    """The reduced map: source -> the provider's name of a model -> its abilities."""

    version: str
    sources: dict[str, dict[str, Ability]]


PRICED = frozenset({"sambanova", "deepinfra", "jina", "dashscope"})
"""Sources whose prices come from the map."""
_THINKER = re.compile(r"(o\d|gpt-[5-9])(?!.*chat)")
_MAY_NOT_THINK = "supports_none_reasoning_effort"
_ODD = re.compile(r"cost.*(above_\d+k|per_query|per_second|per_image|per_character|audio)")


def read_abilities() -> Abilities:
    """The committed reduced map."""
    return msgspec.json.decode(FILE.read_bytes(), type=Abilities)


def reduce_map(raw: Mapping[str, Mapping[str, object]], version: str) -> Abilities:
    """Keep what the catalogue needs of the map."""
    sources: dict[str, dict[str, Ability]] = {}
    for key, entry in sorted(raw.items()):
        source = PROVIDERS.get(str(entry.get("litellm_provider")))
        operations = _OPERATIONS.get(str(entry.get("mode")))
        if source is None or operations is None:
            continue
        name = _upstream(key, str(entry["litellm_provider"]))
        sources.setdefault(source, {})[name] = Ability(
            operations=operations,
            able=tuple(ours for theirs, ours in _FLAGS if entry.get(theirs) is True),
            context_tokens=_count(entry.get("max_input_tokens") or entry.get("max_tokens")),
            output_tokens_max=_count(entry.get("max_output_tokens")),
            tiers=_tiers(entry) if source in PRICED else (),
            responses=entry.get("mode") == "responses",
            quirks=_quirks(name, source, entry),
        )
    return Abilities(version, sources)


def _quirks(name: str, source: str, entry: Mapping[str, object]) -> tuple[str, ...]:
    """How a model deviates from its wire format, in the words of handlers/translation/adapters."""
    quirks = ["adaptive_thinking"] if entry.get("supports_adaptive_thinking") is True else []
    always_thinks = source in {"openai", "azure"} and _THINKER.match(name) and not entry.get(_MAY_NOT_THINK)
    if entry.get("supports_sampling_params") is False or always_thinks:
        quirks.append("no_sampling")
    if entry.get("supports_assistant_prefill") is False:
        quirks.append("no_prefill")
    if entry.get("supports_native_streaming") is False:
        quirks.append("no_streaming")
    return tuple(quirks)


_DEVIATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("gemini", r"gemini-[12]\.|gemini-(pro|flash)-1|gemini-pro$|gemma-", ("json_excludes_tools",)),
    ("gemini", r"gemini-(1\.|2\.0)|gemini-(pro|flash)-1|gemini-pro$|gemma-", ("no_media_urls",)),
    ("gemini", r"gemini-([3-9]|(pro|flash|flash-lite)-latest)", ("thinking_level", "thought_signatures")),
    ("bedrock", r"(?!.*anthropic\.)", ("no_thinking_budget",)),
)
"""Source, a pattern of the provider's names, and the quirks of these models: what their makers document by generation, and
no map lists. Gemini before 3 refuses a schema beside functions, before 2.5 it fetches no addresses, and from 3 on it thinks
by level and wants signatures on calls; on Bedrock only Claude takes a budget for thinking."""


def name_quirks(source: str, name: str) -> tuple[str, ...]:
    """The quirks that follow from a model's name at a source."""
    return tuple(
        quirk for where, names, quirks in _DEVIATIONS if where == source and re.match(names, name) for quirk in quirks
    )


def _upstream(key: str, provider: str) -> str:
    name = re.sub(r"^[a-z]{2}-[a-z-]+-\d/", "", key.removeprefix(f"{provider}/"))
    return name.removeprefix("openai/") if provider == "openai" else name


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _tiers(entry: Mapping[str, object]) -> tuple[tuple[int, dict[str, str]], ...]:
    """Tiers as written, exactly; none when the entry is priced in ways that they do not cover."""
    if any(entry[key] for key in entry if _ODD.search(key)):
        return ()
    listed = entry.get("tiered_pricing")
    if isinstance(listed, list):
        tiers = tuple((_count(tier["range"][0]), _rates(tier)) for tier in listed if "range" in tier)
        whole = len(tiers) == len(listed) and bool(tiers) and tiers[0][0] == 0
        return tiers if whole and all(rates for _, rates in tiers) else ()
    rates = _rates(entry)
    return ((0, rates),) if rates else ()


def _rates(entry: Mapping[str, object]) -> dict[str, str]:
    if not entry.get("input_cost_per_token"):
        return {}
    rates = {ours: Decimal(repr(entry[theirs])) * 1_000_000 for theirs, ours in _RATES if entry.get(theirs)}
    return {name: f"{rate.normalize():f}" for name, rate in rates.items() if rate == round(rate, 9)}


def main() -> int:
    """Write data/abilities.json from a map file and its version."""
    if len(sys.argv) != 3:
        raise CatalogError("usage: python -m handlers.catalog.abilities MAP_FILE VERSION")
    raw = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=dict[str, dict[str, object]])
    reduced = reduce_map(raw, f"model-map/{sys.argv[2]}")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(reduced), indent=0).replace(b"\n", b"") + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

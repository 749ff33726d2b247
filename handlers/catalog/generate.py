"""Make data/models.json: every model and price of the sources that providers.toml names, in our units and under our ids.

    python -m handlers.catalog.generate            writes the file
    python -m handlers.catalog.generate --check    exits with 1 when the file is not what this would write

genai-prices is 1.6 MB of Python objects behind pydantic: too slow to import in a gateway that starts in half a second. A test
keeps the file in step with the installed package. What the package prices in ways that our `Usage` cannot count (pages, video,
citations) gets no price, and what has no price is never used.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from pathlib import Path

import msgspec
from genai_prices.data import providers as _packaged
from genai_prices.types import (
    ClauseAnd,
    ClauseEquals,
    ClauseOr,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.types import Provider as PackagedProvider

from handlers.catalog.abilities import PRICED, Abilities, Ability, name_quirks, read_abilities
from handlers.catalog.entries import NANO, Period, Rates
from handlers.catalog.naming import Namer, squeeze
from handlers.catalog.rows import ModelRow, PricedTiers, Source, complete_rates, to_nano

FILE = Path(__file__).parent / "data" / "models.json"


class Recipe(msgspec.Struct, frozen=True):
    """How one source of ours is made of the package's providers."""

    source: str
    taken: tuple[str, ...]
    author: str
    host: str = ""
    only: str = ""
    """A pattern that the package's model ids must match."""
    without: str = "^$"
    """A pattern that they must not match."""
    snapshots: bool = False
    """Add the dated names that the company itself publishes."""
    upstream: str = "{}"


_HUGGING_FACE = (
    "cerebras",
    "groq",
    "fireworks-ai",
    "together",
    "novita",
    "nebius",
    "sambanova",
    "hyperbolic",
    "nscale",
)
RECIPES = (
    Recipe("openai", ("openai",), "openai", without="gpt-oss", snapshots=True),
    Recipe("azure", ("azure", "openai"), "openai", only=r"gpt|o\d|text-embedding|phi|whisper|tts", without="gpt-oss"),
    Recipe("anthropic", ("anthropic",), "anthropic", snapshots=True),
    Recipe("bedrock", ("aws",), "amazon", host="bedrock"),
    Recipe("gemini", ("google",), "google", only="gemini|gemma", snapshots=True),
    Recipe("mistral", ("mistral",), "mistralai", snapshots=True),
    Recipe("groq", ("groq",), "groq"),
    Recipe("xai", ("x-ai",), "x-ai", snapshots=True),
    Recipe("cohere", ("cohere",), "cohere", snapshots=True),
    Recipe("together", ("together",), "together"),
    Recipe("fireworks", ("fireworks",), "fireworks", host="fireworks", upstream="accounts/fireworks/models/{}"),
    Recipe("cerebras", ("cerebras",), "cerebras"),
    Recipe("perplexity", ("perplexity",), "perplexity"),
    Recipe("huggingface", tuple(f"huggingface_{name}" for name in _HUGGING_FACE), "huggingface"),
    Recipe("openrouter", ("openrouter",), "openrouter", only=r"^[^~].*/"),
    Recipe("voyage", ("voyageai",), "voyage"),
    Recipe("moonshot", ("moonshotai",), "moonshotai"),
    Recipe("zai", ("zai",), "z-ai"),
    Recipe("minimax", ("minimax",), "minimax"),
)
_MAP_AUTHORS = {"jina": "jinaai", "dashscope": "qwen"}

_NATIVE = frozenset({"anthropic", "azure", "bedrock", "openai"})
"""Sources of companies whose own formats the quirks of models are about."""

_SKIPPED = re.compile(r"[-.]$|ft[:-]|:batch|:extended|^moderation$|^computer-use$|^~")
_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|latest)$")
_SIZED = re.compile(r"\d+-x-|^(low|medium|high|hd|standard|us|eu|global|apac)/")
_UNITS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
    "input_mchars": "characters",
    "web_searches_kcount": "searches",
    "requests_kcount": "per_request",
    "audio_hours": "seconds_ms",
    "input_audio_hours": "seconds_ms",
}
_UNMETERED = {"cache_audio_read_mtok", "cache_image_read_mtok", "storage_searches_kcount"}
"""Cached media count as cached tokens; searching stored files needs stored files, which we refuse."""
_FACTORS = {
    "web_searches_kcount": Decimal(1_000),  # per thousand -> per million
    "requests_kcount": Decimal(1) / 1_000,  # per thousand -> each
    "audio_hours": Decimal(1) / Decimal("3.6"),  # per hour -> per million milliseconds
    "input_audio_hours": Decimal(1) / Decimal("3.6"),
}
_OPERATIONS = (
    ("realtime|-live|native-audio|veo|sora|ocr|lyria|robotics|voice", ()),
    ("moderation", ("moderations",)),
    ("rerank", ("rerank",)),
    ("embed|^voyage|e5-|bge-|gte-", ("embeddings",)),
    ("whisper", ("transcriptions", "translations")),
    ("transcribe", ("transcriptions",)),
    ("tts|orpheus|speech|eleven", ("speech",)),
    ("gpt-image|dall-e|imagen|flux", ("images",)),
    ("-instruct-0914|gpt-3.5-turbo-instruct|davinci|babbage", ("completions",)),
)
_SEES = re.compile(r"-vl|vision|omni|pixtral|llava|gemma-[34]|llama-4|gemini|multimodal|gpt-4o|gpt-[56]|claude")
_SLOW = re.compile(r"-pro(-\d|$)|deep-research")
_THINKS = re.compile(
    r"-r1|think|reason|^o\d|gpt-[56]|gpt-oss|claude-.*[4-9]|gemini-[234]|qwq|glm-[45]|kimi-k[23]|magistral"
)


def make() -> dict[str, Source]:
    """All sources."""
    packaged = {provider.id: provider for provider in _packaged}
    abilities = read_abilities()
    preferred = [model.id for model in packaged["openrouter"].models if re.search(r"^[^~:]+/[^:]+$", model.id)]
    namer = Namer(preferred)
    known = _Known(abilities, namer)
    genai = f"genai-prices/{version('genai-prices')}"
    sources = {
        recipe.source: Source(genai, tuple(_unique(_rows(recipe, packaged, abilities, namer, known))))
        for recipe in RECIPES
    }
    for name in sorted(PRICED):
        rows = _unique(_map_rows(name, abilities, namer))
        sources[name] = Source(abilities.version, tuple(rows))
    return dict(sorted(sources.items()))


class _Known:
    """Abilities by source and name, and by our id across sources."""

    def __init__(self, abilities: Abilities, namer: Namer) -> None:
        self._abilities = abilities
        self._by_id: dict[str, Ability] = {}
        authors = {recipe.source: (recipe.author, recipe.host) for recipe in RECIPES}
        for source, models in abilities.sources.items():
            author, host = authors.get(source, (_MAP_AUTHORS.get(source, source), ""))
            for upstream, ability in models.items():
                self._by_id.setdefault(namer.name(upstream, author, host=host), ability)

    def find(self, source: str, upstream: str, model: str) -> Ability:
        """What is known of a model; guesses from its name when nothing is."""
        exact = self._abilities.sources.get(source, {}).get(upstream)
        found = exact or self._by_id.get(_DATED.sub("", model)) or self._by_id.get(model)
        return found or _guess(model)


def _guess(model: str) -> Ability:
    slug = model.partition("/")[2]
    operations = next((operations for pattern, operations in _OPERATIONS if re.search(pattern, slug)), ("chat",))
    able = ["tools", "json_schema"] if operations == ("chat",) else []
    able += ["vision"] if _SEES.search(slug) and able else []
    able += ["reasoning"] if _THINKS.search(slug) and able else []
    return Ability(operations, tuple(able))


def _unique(rows: Iterable[ModelRow]) -> Iterator[ModelRow]:
    """The first row of each model: earlier sources and plain names win."""
    seen: set[str] = set()
    for row in rows:
        if row.model not in seen:
            seen.add(row.model)
            yield row


def _rows(
    recipe: Recipe, packaged: dict[str, PackagedProvider], abilities: Abilities, namer: Namer, known: _Known
) -> Iterator[ModelRow]:
    for taken in recipe.taken:
        provider = packaged[taken]
        ids = {model.id for model in provider.models}
        for model in provider.models if recipe.host != "bedrock" else reversed(provider.models):
            name = _name_upstream(model.id, ids)
            if name and _wanted(recipe, model.id):
                yield _row(recipe, taken, model, name, namer, known)
    if recipe.snapshots:
        provider = packaged[recipe.taken[0]]
        for name in _snapshots(provider, abilities.sources.get(recipe.source, {})):
            found = provider.find_model(name)
            if found is not None and _wanted(recipe, name):
                yield _row(recipe, recipe.taken[0], found, name, namer, known)


def _wanted(recipe: Recipe, name: str) -> bool:
    refused = _SKIPPED.search(name) or re.search(recipe.without, name)
    return not refused and re.search(recipe.only, name) is not None


def _name_upstream(model_id: str, ids: set[str]) -> str:
    """Bedrock's profiles: the region's own stays in its country, the global one does not and is left out."""
    place, dot, rest = model_id.partition(".")
    if place == "global" and dot:
        return "" if f"regional.{rest}" in ids else model_id
    return f"us.{rest}" if place == "regional" and dot else model_id


def _snapshots(provider: PackagedProvider, listed: dict[str, Ability]) -> list[str]:
    """The dated names of a company's models; of two spellings the one that the company lists."""
    names = {name for model in provider.models for name in _equals(model.match) if _DATED.search(name)}
    names |= {name for name in listed if not _SIZED.search(name)}
    spelled: dict[str, str] = {squeeze(model.id): "" for model in provider.models}
    for name in sorted(names, key=lambda name: (name not in listed, "." not in name, name)):
        spelled.setdefault(squeeze(name), name)
    return sorted(name for name in spelled.values() if name)


def _equals(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _equals(part)
    elif isinstance(clause, ClauseAnd):
        return


def _row(recipe: Recipe, taken: str, model: ModelInfo, name: str, namer: Namer, known: _Known) -> ModelRow:
    ours = namer.name(name, recipe.author, host=recipe.host)
    ability = known.find(recipe.source, name, ours)
    upstream = recipe.upstream.format(name)
    if taken.startswith("huggingface_"):
        upstream = f"{name}:{taken.removeprefix('huggingface_')}"
    free = model.id.endswith(":free") or model.id == "moderation"
    responses = ability.responses and recipe.source in {"openai", "azure"}
    return ModelRow(
        model=ours,
        upstream=upstream,
        name=model.name or "",
        context_tokens=ability.context_tokens or model.context_window or 0,
        output_tokens_max=ability.output_tokens_max,
        able=_able(recipe.source, ability),
        operations=_operations(recipe.source, ability),
        prices=_prices(model, free=free),
        aliases=tuple(sorted(_plain_aliases(model, name))),
        wire_format="openai_responses" if responses else "",
        quirks=(ability.quirks if recipe.source in _NATIVE else ()) + name_quirks(recipe.source, name),
        slow=_SLOW.search(name) is not None,
    )


def _plain_aliases(model: ModelInfo, name: str) -> set[str]:
    """Names that the price list holds for the same thing, where the row stands for the plain model and not a dated one."""
    if name != model.id:
        return set()
    return {other.lower() for other in _equals(model.match) if other != name and not _DATED.search(other)}


def _able(source: str, ability: Ability) -> tuple[str, ...]:
    able = set(ability.able)
    if source in {"anthropic", "bedrock", "cohere"} and "tools" in able:
        able.add("json_schema")  # these adapters carry a structured answer in a tool call
    return tuple(sorted(able))


def _operations(source: str, ability: Ability) -> tuple[str, ...]:
    counts = source in {"anthropic", "gemini"} and ability.operations == ("chat",)
    return ("chat", "count_tokens") if counts else ability.operations


def _prices(model: ModelInfo, *, free: bool) -> tuple[PricedTiers, ...]:
    if isinstance(model.prices, ModelPrice):
        tiers = _tiers(model.prices, free=free)
        return (PricedTiers(tiers),) if tiers else ()
    priced: list[PricedTiers] = []
    for conditional in model.prices:
        tiers = _tiers(conditional.prices, free=free)
        if not tiers:
            return ()
        priced.append(PricedTiers(tiers, _period(conditional.constraint) if priced else None))
    return tuple(priced)


def _period(constraint: StartDateConstraint | TimeOfDateConstraint | None) -> Period:
    if isinstance(constraint, StartDateConstraint):
        day = constraint.start_date
        return Period(since_s=int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))
    if isinstance(constraint, TimeOfDateConstraint):
        return Period(minute_start=_minute(constraint.start_time), minute_end=_minute(constraint.end_time))
    return Period()


def _minute(moment: time) -> int:
    offset = moment.utcoffset()
    return (moment.hour * 60 + moment.minute - (int(offset.total_seconds()) // 60 if offset else 0)) % 1_440


def _tiers(price: ModelPrice, *, free: bool) -> tuple[tuple[int, Rates], ...]:
    """Tiers in nano-units per million; empty when the price has units that `Usage` cannot count, or none at all."""
    given = {key: value for key, value in vars(price).items() if value is not None and key not in _UNMETERED}
    if not given:
        return ((0, Rates()),) if free else ()
    if not given.keys() <= _UNITS.keys():
        return ()
    floors = {0} | {
        tier.start + 1 for value in given.values() if isinstance(value, TieredPrices) for tier in value.tiers
    }
    return tuple((floor, _rates_at(floor, given)) for floor in sorted(floors))


def _rates_at(floor: int, given: dict[str, Decimal | TieredPrices]) -> Rates:
    rates: dict[str, int] = {}
    for key, value in given.items():
        amount = value
        if isinstance(amount, TieredPrices):
            amount = next((tier.price for tier in reversed(amount.tiers) if floor > tier.start), amount.base)
        nano = (amount * NANO * _FACTORS.get(key, Decimal(1))).to_integral_value(ROUND_CEILING)
        rates[_UNITS[key]] = max(rates.get(_UNITS[key], 0), int(nano))
    return complete_rates(rates)


def _map_rows(source: str, abilities: Abilities, namer: Namer) -> Iterator[ModelRow]:
    for upstream, ability in abilities.sources.get(source, {}).items():
        tiers = tuple(
            (above + 1 if above else 0, complete_rates({name: to_nano(rate) for name, rate in rates.items()}))
            for above, rates in ability.tiers
        )
        yield ModelRow(
            model=namer.name(upstream, _MAP_AUTHORS.get(source, source)),
            upstream=upstream,
            context_tokens=ability.context_tokens,
            output_tokens_max=ability.output_tokens_max,
            able=tuple(sorted(ability.able)),
            operations=ability.operations,
            prices=(PricedTiers(tiers),) if tiers else (),
        )


def encode(sources: dict[str, Source]) -> bytes:
    """The file's bytes: one model a line, so that a change of the package reads as a change of lines."""
    blocks = []
    for name, source in sources.items():
        rows = b",\n".join(msgspec.json.encode(row) for row in source.models)
        head = b'"%s":{"version":%s,"models":[\n' % (name.encode(), msgspec.json.encode(source.version))
        blocks.append(head + rows + b"\n]}")
    return b"{\n" + b",\n".join(blocks) + b"\n}\n"


def main() -> int:
    """Write the file, or compare it with `--check`."""
    made = encode(make())
    if "--check" in sys.argv[1:]:
        return 0 if FILE.read_bytes() == made else 1
    FILE.write_bytes(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

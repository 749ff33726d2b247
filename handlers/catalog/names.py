"""Finding a model by what a client calls it."""

from __future__ import annotations

from handlers.catalog.entries import Catalog, Model

WANTED_CHARS_MAX = 128
_SIMILARITY_MIN = 0.3


def find_model(catalog: Catalog, name: str) -> Model | None:
    """By id, by another name, or by either of them in lower case."""
    models, aliases = catalog.models, catalog.aliases
    lower = name.lower()
    return (
        models.get(name) or models.get(aliases.get(name, "")) or models.get(lower) or models.get(aliases.get(lower, ""))
    )


class _Index:
    """The trigrams of each model's id and of the part after its author, for one snapshot."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.by_id = [(model_id, _trigrams(model_id)) for model_id in catalog.models]
        self.by_slug = [(model_id, _trigrams(model_id.partition("/")[2])) for model_id in catalog.models]


_index: _Index | None = None


def nearest_names(catalog: Catalog, wanted: str, n: int = 3) -> list[str]:
    """Up to `n` ids of models whose names are most like the wanted one, best first; none when nothing is near.

    Milliseconds at most, whatever the client sent: it is asked for each unknown model.
    """
    global _index  # noqa: PLW0603 - one snapshot serves for hours; its index is made once
    index = _index
    if index is None or index.catalog is not catalog:
        index = _index = _Index(catalog)
    name = wanted[:WANTED_CHARS_MAX].lower()
    grams = _trigrams(name)
    candidates = index.by_id if "/" in name else index.by_slug
    scored = sorted(
        (-len(grams & others) / len(grams | others), len(model_id), model_id)
        for model_id, others in candidates
        if not grams.isdisjoint(others)
    )
    return [model_id for score, _, model_id in scored[:n] if -score >= _SIMILARITY_MIN]


def _trigrams(name: str) -> frozenset[str]:
    plain = "".join(character if character.isalnum() or character == "/" else " " for character in name)
    padded = f"  {plain} "
    return frozenset(padded[start : start + 3] for start in range(len(padded) - 2))

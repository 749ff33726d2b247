"""What the site says, in two languages, from texts/<language>.toml: flat keys such as `collect.keys.hashed`."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "zh")
OF_REGION = {"global": "en", "china": "zh"}
REVIEWED = date(2026, 11, 23)
"""When the texts and the inventory were last changed; a test compares it with the repository's history (C77). The expiry of
security.txt counts from here, so that a site nobody looks after says so."""


class Texts:
    """The words of one language."""

    def __init__(self, language: str, words: Mapping[str, str]) -> None:
        self.language = language
        self._words = words

    def __getitem__(self, key: str) -> str:
        return self._words[key]

    def get(self, key: str) -> str | None:
        """The words, or None."""
        return self._words.get(key)

    def keys(self) -> frozenset[str]:
        """All keys."""
        return frozenset(self._words)

    def count(self, key: str, number: int) -> str:
        """A sentence about a number of things; `<key>_one` is its singular."""
        return self._words[f"{key}_one"] if number == 1 else self._words[key].format(count=number)


@functools.cache
def load_texts(language: str) -> Texts:
    """The texts of `en` or `zh`."""
    with (FOLDER / f"{language}.toml").open("rb") as file:
        return Texts(language, dict(_flatten(tomllib.load(file))))


def choose_language(asked: str | None, region: str) -> str:
    """The language that was asked for if we speak it, else the region's."""
    return asked if asked in LANGUAGES else OF_REGION[region]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)

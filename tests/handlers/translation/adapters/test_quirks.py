from __future__ import annotations

import re
from pathlib import Path

import handlers.translation
from handlers.catalog.loading import load_catalog
from handlers.translation.adapters.quirks import QUIRKS

SOURCE = Path(handlers.translation.__file__).parent


def test_every_quirk_in_the_code_is_listed_and_every_listed_one_is_used() -> None:
    texts = [path.read_text() for path in SOURCE.rglob("*.py") if path.name != "quirks.py"]
    used = {
        name
        for text in texts
        for name in re.findall(r'"([a-z_]+)" (?:not )?in (?:asked\.upstream|target|self\.upstream)\.quirks', text)
    }
    used |= {name for text in texts for name in re.findall(r'^[A-Z]+ = "([a-z_]+)"\n"""Quirk', text, re.MULTILINE)}
    assert used == set(QUIRKS)


def test_the_catalogues_rows_say_nothing_else() -> None:
    for region in ("global", "china"):
        catalog = load_catalog(region)
        said = {quirk for provider in catalog.providers.values() for quirk in provider.quirks}
        said |= {q for model in catalog.models.values() for endpoint in model.endpoints for q in endpoint.quirks}
        assert said <= set(QUIRKS)

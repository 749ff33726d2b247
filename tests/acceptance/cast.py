"""Who plays in the acceptance tests, by region: two providers, a model of each, and what only one region has.

`THEROUTER_TEST_REGION=china` plays the tests with mainland providers, and then nothing starts a system of the global region; tests of
what no mainland endpoint does (another wire format, embeddings, one model at two providers) are the global region's and are marked
`global_alone`.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest


class Cast(NamedTuple):
    """The providers and models of a region."""

    region: str
    first: str
    first_model: str
    second: str
    second_model: str
    third: str
    """Enabled, and serves none of the models above."""
    misspelt: str
    """Almost `first_model`."""

    @property
    def providers(self) -> tuple[str, str, str]:
        return self.first, self.second, self.third


CASTS = {
    "global": Cast(
        "global",
        "openai",
        "openai/gpt-4o-mini",
        "anthropic",
        "anthropic/claude-sonnet-4.5",
        "groq",
        "openai/gpt-4o-mimi",
    ),
    "china": Cast(
        "china",
        "deepseek",
        "deepseek/deepseek-v4-pro",
        "moonshot",
        "moonshotai/kimi-k3",
        "zhipu",
        "deepseek/deepseek-v4-pra",
    ),
}
REGION = os.environ.get("THEROUTER_TEST_REGION", "global")
PLAYED = (REGION,) if "THEROUTER_TEST_REGION" in os.environ else tuple(CASTS)
"""Regions whose systems may be started: that of a run of one region (tests/faults/sovereignty.py), or both."""
CAST = CASTS[REGION]
OTHER = CASTS["china" if REGION == "global" else "global"]
global_alone = pytest.mark.skipif(REGION != "global", reason="no mainland endpoint does what this test is about")

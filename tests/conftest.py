"""Fixtures that every test may use, and one way of all property tests."""

import os

from hypothesis import settings

from handlers.compiled import use_compiled

if "THEROUTER_TESTS_COMPILED" in os.environ and not use_compiled():  # before anything that may be compiled is imported
    raise RuntimeError("what is compiled was made of other sources: make compile")

from tests.database import cluster, database

__all__ = ["cluster", "database"]

# As long as the machine needs for an example, and the same ones everywhere: what passed here passes there.
# New ones: `pytest --hypothesis-profile=default`.
settings.load_profile("ci")

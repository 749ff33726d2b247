"""Fixtures that every test may use, and one way of all property tests."""

from hypothesis import settings

from tests.database import cluster, database

__all__ = ["cluster", "database"]

# As long as the machine needs for an example, and the same ones everywhere: what passed here passes there.
# New ones: `pytest --hypothesis-profile=default`.
settings.load_profile("ci")

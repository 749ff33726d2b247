"""Fixtures that every test may use."""

from tests.database import cluster, database

__all__ = ["cluster", "database"]

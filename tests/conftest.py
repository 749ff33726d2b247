"""Fixtures that every test may use."""

from tests.database import database, migrated_server

__all__ = ["database", "migrated_server"]

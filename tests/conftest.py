"""Fixtures that every test may use, and how long an example of a property may take: as long as the machine needs for it."""

from hypothesis import HealthCheck, settings

from tests.database import cluster, database

__all__ = ["cluster", "database"]

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

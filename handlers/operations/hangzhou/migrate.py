"""Brings the database up to date, in Hangzhou: the master's password is the secret database/owner, which the operator puts."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.clouds import open_secret_store
from handlers.operations.journal import read_event, report
from handlers.operations.migrate import MigrateEvent, bring_up
from handlers.settings import FunctionSettings


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called by the operator's bootstrap, and by nothing else."""
    wanted = read_event(event, MigrateEvent)
    settings = FunctionSettings.parse()
    password = open_secret_store(settings.deployment).get("database/owner").text()
    return report(bring_up(settings, password, wanted.founder))

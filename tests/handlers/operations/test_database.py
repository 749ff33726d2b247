"""The operations room asks for its settings at its first question, and who acts upon customers waits for the end of a restore."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.clouds.epoch import EPOCH
from handlers.errors import Unavailable
from handlers.operations import database as module
from handlers.operations import purge, spending
from handlers.operations.database import _pool, open_store
from handlers.operations.sealing import Sealer
from handlers.settings import SettingError
from handlers.store.operations import OperationsStore
from tests.database import Database


def test_a_function_without_its_settings_names_the_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THEROUTER_DATABASE_HOST", raising=False)
    _pool.cache_clear()
    with pytest.raises(SettingError, match="THEROUTER_DATABASE_HOST is not set"):
        open_store()


@pytest.mark.claim("C10")
@pytest.mark.parametrize("duty", [purge, spending])
def test_what_acts_upon_customers_waits_until_a_restore_is_replayed(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, duty: ModuleType
) -> None:
    store = OperationsStore(database.pool("operations"))
    (tmp_path / "origin.json").write_bytes(b'{"region":"global","environment":"local"}')
    (tmp_path / "restore").mkdir(mode=0o700)
    (tmp_path / EPOCH).write_bytes(b"2\n")
    (tmp_path / EPOCH).chmod(0o600)
    for name, value in {"REGION": "global", "CLOUD": "local", "ENVIRONMENT": "local", "SECRETS": str(tmp_path)}.items():
        monkeypatch.setenv(f"THEROUTER_{name}", value)
    monkeypatch.setattr(module, "open_store", lambda: store)
    monkeypatch.setattr(purge, "open_sealer", lambda: Sealer("global", Ed25519PrivateKey.generate()))
    event = {"retention_days_default": 90, "retention_days_min": 1, "retention_days_max": 730} if duty is purge else {}
    with pytest.raises(Unavailable):
        duty.handler(event, None)
    store.reopen(2, 0)
    assert duty.handler(event, None)

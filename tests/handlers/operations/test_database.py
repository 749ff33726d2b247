from __future__ import annotations

import pytest

from handlers.operations.database import _pool, open_store
from handlers.settings import SettingError


def test_a_function_without_its_settings_names_the_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THEROUTER_DATABASE_HOST", raising=False)
    _pool.cache_clear()
    with pytest.raises(SettingError, match="THEROUTER_DATABASE_HOST is not set"):
        open_store()

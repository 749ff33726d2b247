from __future__ import annotations

import pytest

from handlers.operations import reap
from handlers.operations.journal import EventError
from handlers.store.operations import OperationsStore
from tests.database import Database


@pytest.mark.claim("C66")
def test_nothing_to_release_is_an_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reap, "open_store", lambda: OperationsStore(database.pool("operations")))
    assert reap.handler({}, None) == {"outcome": "HoldsReaped", "released": 0, "expired": 0, "expired_nano": 0}


def test_an_event_of_somebody_else_is_refused() -> None:
    with pytest.raises(EventError):
        reap.handler({"Records": []}, None)

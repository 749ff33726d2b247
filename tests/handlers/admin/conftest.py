"""The admin room over a real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database import Database
from tests.handlers.admin.rooms import House, open_house


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    with open_house(database) as house:
        yield house

"""Every function that runs in both regions is tested behind both regions' platforms (tests/handlers/conftest.py)."""

from __future__ import annotations

import pytest

from handlers.workloads import functions
from tests.handlers.conftest import HANGZHOU, HERE, REQUESTS, SCHEDULES


@pytest.mark.claim("C45")
def test_c45_each_function_of_the_china_region_is_tested_through_function_compute() -> None:
    tested = {path.partition("/")[0] for path in REQUESTS}
    tested |= {path.rpartition("test_")[2].removesuffix(".py").replace("_", "-") for path in SCHEDULES}
    tested |= {path.stem.removeprefix("test_").replace("_", "-") for path in (HERE / HANGZHOU).glob("test_*.py")}
    assert {row.name for row in functions("china")} <= tested


def test_the_files_are_there() -> None:
    assert [path for path in REQUESTS | SCHEDULES if not (HERE / path).is_file()] == []

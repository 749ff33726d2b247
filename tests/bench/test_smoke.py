"""The bench itself works, and the Python of a request stays within a generous bound. `make bench` is the real thing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.bench.compare import ROWS, judge
from tests.bench.native import Driver, compile_programs, upstream
from tests.bench.stages import measure
from tests.bench.traffic import chat_body

JSON_US_MAX, EVENT_US_MAX = 600, 60
"""Several times what it is on an idle machine: other tests run beside this one."""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: the load driver cannot be built")
def test_the_driver_and_the_scripted_provider_understand_each_other(tmp_path: Path) -> None:
    compile_programs(tmp_path)
    driver = Driver(tmp_path)
    with upstream(tmp_path) as port:
        whole = driver.run(port, "key", chat_body(stream=False), connections=4, seconds=0.3)
        steady = driver.run(port, "key", chat_body(stream=False), connections=4, seconds=0.5, rate=100)
        paced = chat_body(stream=True, events=10, gap_us=5_000)
        streamed = driver.run(port, "key", paced, connections=2, seconds=0.5)
        large = driver.run(port, "key", chat_body(stream=False, padding=400_000), connections=2, seconds=0.3)
    assert whole.requests > 50
    assert 0 < whole.p50_us <= whole.p99_us
    assert 45 <= steady.requests <= 51
    assert streamed.events >= 13 * streamed.requests > 0, "ten events, the finish, the usage and the end marker"
    assert streamed.p50_us > 9 * 5_000 > streamed.first_event_p50_us
    assert large.requests > 5


def test_python_of_a_request_stays_within_its_bound() -> None:
    figures = asyncio.run(measure(3, 60))
    assert 0 < sum(figures["json"]) < JSON_US_MAX
    assert sum(figures["sse"]) < EVENT_US_MAX


def test_a_figure_beyond_its_line_is_an_alarm() -> None:
    good = {row.name: [row.goal] * 3 for row in ROWS}
    assert judge(good)[1] == []
    for row in ROWS:
        lines, crossed = judge({**good, row.name: [row.goal, row.alarm * 1.01, row.alarm * 1.02]})
        assert crossed == [row.meaning]
        assert [line for line in lines if "ALARM" in line] == [
            line for line in lines if line.startswith(f"{row.meaning:40}")
        ]

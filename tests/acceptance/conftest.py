"""One running system for all acceptance tests: two providers that the scripted upstream plays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.cast import CAST
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="session")
def system(upstream: ScriptedUpstream) -> Iterator[RunningSystem]:
    addresses = dict.fromkeys(CAST.providers, f"{upstream.url}/v1")
    with running_system(addresses) as running:
        yield running


@pytest.fixture(scope="session")
def key(system: RunningSystem) -> str:
    return system.new_key("acceptance")

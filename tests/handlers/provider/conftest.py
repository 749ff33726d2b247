from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.handlers.provider.pod_driver import PodProcess
from tests.upstreams.scripted import ScriptedUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def pod(upstream: ScriptedUpstream) -> Iterator[PodProcess]:
    with PodProcess("openai", f"{upstream.url}/v1") as process:
        yield process

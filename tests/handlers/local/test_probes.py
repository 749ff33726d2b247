from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from handlers.local.payments_http import LoopbackServer, Reply, Request, json_reply
from handlers.local.probes import answers, responds, serves


@contextmanager
def gateway(status: int, waiting_for: list[str]) -> Iterator[str]:
    """Somebody who says at /readyz what a gateway waits for."""

    def answer(request: Request) -> Reply:
        assert request.path == "/readyz"
        return json_reply(status, {"waiting_for": waiting_for})

    server = LoopbackServer(answer)
    server.start()
    try:
        yield server.url
    finally:
        server.close()


@pytest.mark.parametrize(
    ("status", "waiting_for", "is_up"),
    [
        (200, [], True),
        (503, ["database", "restore"], True),
        (503, ["database"], False),
        (503, ["spool", "database", "restore"], False),
    ],
)
def test_a_gateway_is_up_when_it_serves_or_waits_for_a_person_alone(
    status: int, waiting_for: list[str], *, is_up: bool
) -> None:
    with gateway(status, waiting_for) as url:
        assert serves(url) is is_up
        assert answers(f"{url}/readyz") is (status == 200)
        assert responds(f"{url}/readyz") is (status == 200)

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from aws_lambda_powertools.event_handler import ALBResolver, Response

from handlers.clouds.resolver import IsolatedResolver
from tests.handlers.payments.rooms import alb_event

THREADS = 8


def _served_by_each(resolver: ALBResolver) -> list[tuple[str, str]]:
    """What each of several simultaneous requests sent, and what it was answered."""
    together = threading.Barrier(THREADS)

    @resolver.post("/echo/<name>")
    def echo(name: str) -> Response[str]:
        together.wait(10)
        return Response(200, "text/plain", f"{name} {resolver.current_event.body}")

    def ask(number: int) -> tuple[str, str]:
        body = f"customer {number}"
        answer = resolver.resolve(alb_event("POST", f"/echo/{number}", body.encode()), None)  # type: ignore[arg-type]
        return f"{number} {body}", answer["body"]

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(ask, range(THREADS)))


@pytest.mark.claim("C50")
def test_simultaneous_requests_are_answered_each_with_its_own() -> None:
    for sent, answered in _served_by_each(IsolatedResolver()):
        assert sent == answered


def test_the_librarys_own_resolver_mixes_them_up_so_this_test_can_fail() -> None:
    assert any(sent != answered for sent, answered in _served_by_each(ALBResolver()))


def test_another_resolver_in_the_same_process_does_not_disturb_it() -> None:
    ours, theirs = IsolatedResolver(), ALBResolver()

    @theirs.get("/theirs")
    def serve_theirs() -> Response[str]:
        return Response(200, "text/plain", "theirs")

    @ours.get("/ours/<name>")
    def serve_ours(name: str) -> Response[str]:
        theirs.resolve(alb_event("GET", "/theirs", b"their body"), None)  # type: ignore[arg-type]
        return Response(200, "text/plain", f"{name} {ours.current_event.body}")

    answer = ours.resolve(alb_event("GET", "/ours/x", b"our body"), None)
    assert msgspec.json.encode(answer["body"]) == b'"x our body"'

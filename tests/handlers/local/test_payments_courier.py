from __future__ import annotations

import threading
import time

import pytest

from handlers.local import payments_courier
from handlers.local.payments_courier import Courier, Fault
from handlers.local.payments_http import LoopbackServer, Reply, Request


class Receiver:
    """Takes notifications; refuses the first few."""

    def __init__(self, refuse: int = 0) -> None:
        self.taken: list[Request] = []
        self._refuse = refuse
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._take)
        self._server.start()
        self.url = f"{self._server.url}/hook"

    def close(self) -> None:
        self._server.close()

    def wait_for(self, count: int, seconds: float = 10) -> list[bytes]:
        deadline = time.monotonic() + seconds
        while len(self.taken) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return [request.body for request in self.taken]

    def _take(self, request: Request) -> Reply:
        with self._lock:
            self.taken.append(request)
            return Reply(503 if len(self.taken) <= self._refuse else 204)


def _send(fault: Fault, *bodies: bytes, refuse: int = 0, count: int) -> list[bytes]:
    receiver = Receiver(refuse)
    numbers = iter(range(100))
    courier = Courier(receiver.url, lambda _: {"x-signature": str(next(numbers))}, fault)
    try:
        for body in bodies:
            courier.send(body)
        taken = receiver.wait_for(count)
        signatures = [request.headers["x-signature"] for request in receiver.taken]
        assert len(set(signatures)) == len(signatures)  # each try is signed anew
        return taken
    finally:
        courier.close()
        receiver.close()


def test_what_is_taken_comes_once_and_in_order() -> None:
    assert _send(Fault.NONE, b"a", b"b", count=2) == [b"a", b"b"]


def test_what_is_refused_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments_courier, "DELAYS_S", (0.01, 0.01, 0.01))
    assert _send(Fault.NONE, b"a", refuse=2, count=3) == [b"a"] * 3


def test_faults() -> None:
    assert _send(Fault.REPLAY, b"a", count=5) == [b"a"] * 5
    assert _send(Fault.REORDER, b"a", b"b", count=2) == [b"b", b"a"]
    receiver = Receiver()
    for fault in (Fault.LOST, Fault.DELAY):
        courier = Courier(receiver.url, lambda _: {}, fault)
        courier.send(b"a")
        assert receiver.wait_for(1, seconds=0.2) == []
        courier.close()
    receiver.close()


def test_nobody_listening_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments_courier, "DELAYS_S", (0.01,))
    courier = Courier("http://127.0.0.1:9/hook", lambda _: {})
    courier.send(b"a")
    time.sleep(0.1)
    courier.close()

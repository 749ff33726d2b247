from __future__ import annotations

import threading

import msgspec

from handlers.local.payments_http import Reply
from handlers.local.payments_idempotency import LIFE_S, IdempotencyKeys

ASKED = ("POST", "/v1/things", b"a=1")


class Work:
    """Counts how often it runs."""

    def __init__(self, status: int = 200, *, done: bool = True) -> None:
        self.runs = 0
        self._status = status
        self._done = done

    def __call__(self) -> tuple[Reply, bool]:
        self.runs += 1
        return Reply(self._status, b"%d" % self.runs), self._done


def test_the_first_answer_is_given_for_a_day_whether_it_was_good_or_bad() -> None:
    now = 1_000_000.0
    for status in (200, 402, 500):
        clock = [now]
        keys = IdempotencyKeys(lambda: clock[0])  # noqa: B023 -- used in this turn of the loop only
        work = Work(status)
        first = keys.answer("k", ASKED, work)
        clock[0] += LIFE_S
        again = keys.answer("k", ASKED, work)
        assert (again.status, again.body, work.runs) == (status, first.body, 1)
        assert again.headers == {"Idempotent-Replayed": "true"}
        clock[0] += 1
        assert keys.answer("k", ASKED, work).body == b"2"


def test_other_parameters_are_refused_and_change_nothing() -> None:
    keys = IdempotencyKeys(lambda: 0.0)
    work = Work()
    first = keys.answer("k", ASKED, work)
    for other in (("POST", "/v1/things", b"a=2"), ("POST", "/v1/others", b"a=1"), ("PUT", "/v1/things", b"a=1")):
        refused = keys.answer("k", other, work)
        assert refused.status == 400
        assert msgspec.json.decode(refused.body)["error"]["type"] == "idempotency_error"
    assert keys.answer("k", ASKED, work).body == first.body
    assert work.runs == 1


def test_what_did_nothing_is_not_remembered() -> None:
    keys = IdempotencyKeys(lambda: 0.0)
    assert keys.answer("k", ASKED, Work(400, done=False)).status == 400
    assert keys.answer("k", ("POST", "/v1/others", b""), Work()).status == 200


def test_while_the_first_is_at_work_the_second_is_told_so() -> None:
    keys = IdempotencyKeys(lambda: 0.0)
    started, finish = threading.Event(), threading.Event()

    def slow() -> tuple[Reply, bool]:
        started.set()
        finish.wait(10)
        return Reply(200), True

    first = threading.Thread(target=keys.answer, args=("k", ASKED, slow))
    first.start()
    started.wait(10)
    told = keys.answer("k", ASKED, Work())
    finish.set()
    first.join()
    assert (told.status, msgspec.json.decode(told.body)["error"]["code"]) == (409, "idempotency_key_in_use")
    assert keys.answer("k", ASKED, Work()).headers == {"Idempotent-Replayed": "true"}


def test_a_crash_forgets_the_key() -> None:
    keys = IdempotencyKeys(lambda: 0.0)

    def crash() -> tuple[Reply, bool]:
        raise ZeroDivisionError

    for _ in range(2):
        try:
            keys.answer("k", ASKED, crash)
        except ZeroDivisionError:
            continue
        raise AssertionError("it ran")
    assert keys.answer("k", ASKED, Work()).status == 200


def test_a_key_has_255_characters_at_most() -> None:
    keys = IdempotencyKeys(lambda: 0.0)
    assert keys.answer("k" * 255, ASKED, Work()).status == 200
    assert keys.answer("k" * 256, ASKED, Work()).status == 400

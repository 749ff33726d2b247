"""When a database may be served from, and what asking costs."""

from __future__ import annotations

import threading

import pytest

from handlers.errors import Unavailable
from handlers.store.restoration import CHANGES_MAX, LOOK_S, RestoreGate


class World:
    """A database, a clock and a memory, as a gate sees them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.number, self.epoch = 7, 0
        self.looks = 0
        self.cut = False
        """Whether the connection breaks between the two questions of a look."""
        self.changes: list[tuple[str | None, str | None]] = []
        self.forgotten: list[str] = []
        self.gate = RestoreGate(self, self, clock=lambda: self.now)

    def latest(self) -> tuple[int, int]:
        self.looks += 1
        if self.number < 0:
            raise Unavailable("The database is away.")
        return self.number, self.epoch

    def changes_since(self, number: int) -> list[tuple[str | None, str | None]]:
        if self.cut:
            raise Unavailable("The database is away.")
        return self.changes[number - 7 :]

    def forget(self, key_ids: list[str]) -> None:
        self.forgotten += key_ids

    def forget_account(self, account: str) -> None:
        self.forgotten.append(account)

    def forget_all(self) -> None:
        self.forgotten.append("all")

    def is_open(self) -> bool:
        try:
            self.gate.check()
        except Unavailable:
            return False
        return True


def test_many_requests_look_once_a_second() -> None:
    watched = World()
    for _ in range(100):
        watched.now += LOOK_S / 50
        assert watched.is_open()
    assert watched.looks == 2


def test_it_is_closed_until_the_announced_epoch_is_in_the_database_and_looks_again_at_once() -> None:
    watched = World()
    assert watched.is_open()
    watched.gate.announce(3)
    assert not watched.is_open(), "however young the last look is"
    watched.epoch = 3
    assert not watched.is_open(), "the last look is remembered"
    watched.now += LOOK_S
    assert watched.is_open()


def test_a_database_that_went_back_is_noticed_without_a_word_and_stays_closed() -> None:
    watched = World()
    assert watched.is_open()
    watched.now, watched.number = watched.now + LOOK_S, 6
    assert not watched.is_open()
    watched.now, watched.number = watched.now + LOOK_S, 9
    assert watched.is_open(), "it is where it was"
    watched.now, watched.number = watched.now + LOOK_S, 8
    assert not watched.is_open()
    watched.now, watched.epoch = watched.now + LOOK_S, 1
    assert watched.is_open()


def test_what_is_remembered_of_a_key_is_forgotten_when_it_changes_and_nothing_else() -> None:
    watched = World()
    watched.is_open()
    assert watched.forgotten == ["all"]
    watched.now += LOOK_S
    watched.is_open()
    assert watched.forgotten == ["all"]
    watched.changes = [("key", "its account"), (None, "account")]
    watched.now, watched.number = watched.now + LOOK_S, 9
    watched.is_open()
    assert watched.forgotten == ["all", "key", "account"]
    watched.changes += [("another", "account")]
    watched.now, watched.number = watched.now + LOOK_S, 10
    watched.is_open()
    assert watched.forgotten == ["all", "key", "account", "another"]
    watched.changes += [("k", "a")] * CHANGES_MAX
    watched.now, watched.number = watched.now + LOOK_S, 11 + 2 * CHANGES_MAX
    watched.is_open()
    assert watched.forgotten[4] == "all", "more than the database tells at once"


@pytest.mark.claim("C10")
def test_after_a_restore_between_two_looks_nothing_that_was_remembered_holds() -> None:
    """A function that nobody called meanwhile: the replayed revocations have numbers that it knows from before the restore."""
    watched = World()
    assert watched.is_open()
    watched.now, watched.number, watched.epoch = watched.now + LOOK_S, 9, 1
    assert watched.is_open()
    assert watched.forgotten == ["all", "all"]
    watched.now, watched.epoch = watched.now + LOOK_S, 0
    assert not watched.is_open(), "another old database, whatever happened in it since"


def test_a_change_that_could_not_be_read_is_read_at_the_next_look() -> None:
    watched = World()
    assert watched.is_open()
    watched.changes = [("key", "account")]
    watched.now, watched.number, watched.cut = watched.now + LOOK_S, 8, True
    assert not watched.is_open()
    watched.cut = False
    assert watched.is_open()
    assert watched.forgotten == ["all", "key"]


def test_a_database_that_cannot_say_is_no_reason_to_serve_once_the_last_look_is_old() -> None:
    watched = World()
    assert watched.is_open()
    watched.number = -1
    assert watched.is_open()
    watched.now += LOOK_S
    assert not watched.is_open()
    watched.number = 7
    assert watched.is_open()


def test_threads_that_come_together_look_once() -> None:
    watched = World()
    threads = [threading.Thread(target=watched.is_open) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watched.looks == 1

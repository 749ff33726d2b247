from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import bcrypt
import pytest

from handlers.errors import Unavailable
from handlers.keys.hashing import BcryptPool, hash_secret, invent_hash, verify_secret


@pytest.mark.claim("C14")
def test_a_stored_hash_is_bcrypt_at_cost_ten_and_verifies_only_its_secret() -> None:
    secret = b"s" * 43
    stored = hash_secret(secret)
    assert re.fullmatch(r"\$2b\$10\$[./A-Za-z0-9]{53}", stored)
    assert secret.decode() not in stored
    assert verify_secret(secret, stored)
    assert not verify_secret(secret[:-1] + b"t", stored)


@pytest.mark.claim("C14")
def test_keys_that_share_their_first_72_bytes_do_not_verify_for_one_another() -> None:
    shared = b"p" * 80
    with pytest.raises(ValueError, match="72"):
        bcrypt.hashpw(shared, bcrypt.gensalt(4))
    assert not verify_secret(shared + b"a", hash_secret(shared + b"b"))


def test_an_invented_hash_is_a_hash_that_nothing_has() -> None:
    invented = invent_hash()
    assert re.fullmatch(r"\$2b\$10\$[./A-Za-z0-9]{53}", invented)
    assert not verify_secret(b"anything", invented)


@contextmanager
def busy(pool: BcryptPool) -> Iterator[None]:
    """The pool's one thread is at something else until the end, so that no check is done meanwhile."""
    over = threading.Event()
    pool._threads.submit(over.wait)
    try:
        yield
    finally:
        over.set()


def test_the_pool_verifies_off_the_loop() -> None:
    async def play() -> tuple[bool, bool]:
        pool = BcryptPool(workers=1, deadline_s=30)
        stored = hash_secret(b"right")
        with busy(pool):
            right = asyncio.ensure_future(pool.verify(b"right", stored))
            await asyncio.sleep(0.05)
            assert not right.done(), "the loop goes on while a check waits for its thread"
        outcomes = await right, await pool.verify(b"wrong", stored)
        pool.close()
        return outcomes

    assert asyncio.run(play()) == (True, False)


@pytest.mark.claim("A16")
def test_a_full_queue_is_our_trouble_and_never_a_refusal() -> None:
    async def play() -> list[bool | BaseException]:
        pool = BcryptPool(workers=1, queue_max=2, deadline_s=30)
        stored = hash_secret(b"right")
        with busy(pool):
            checks = [asyncio.ensure_future(pool.verify(b"right", stored)) for _ in range(8)]
            await asyncio.wait(checks[3:])
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
        assert await pool.verify(b"right", stored)  # room again once the burst is over
        pool.close()
        return outcomes

    outcomes = asyncio.run(play())
    assert outcomes.count(True) == 3
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 5


def test_a_missed_deadline_is_unavailable() -> None:
    async def play() -> list[bool | BaseException]:
        pool = BcryptPool(workers=1, queue_max=64, deadline_s=0.001)
        stored = hash_secret(b"right")
        with busy(pool):
            checks = (pool.verify(b"right", stored) for _ in range(3))
            outcomes = await asyncio.gather(*checks, return_exceptions=True)
        pool.close()
        return outcomes

    assert all(isinstance(outcome, Unavailable) for outcome in asyncio.run(play()))


def test_a_broken_stored_hash_is_unavailable() -> None:
    async def play() -> None:
        pool = BcryptPool(workers=1)
        try:
            await pool.verify(b"right", "no hash at all")
        finally:
            pool.close()

    with pytest.raises(Unavailable):
        asyncio.run(play())

from __future__ import annotations

import os
import time
import uuid

from handlers.gateway.request_ids import new_request_id


def test_request_ids_are_version_7_tell_the_time_and_differ() -> None:
    before_ms = time.time_ns() // 1_000_000
    names = [new_request_id() for _ in range(5_000)]
    after_ms = time.time_ns() // 1_000_000
    assert len(set(names)) == len(names)
    for name in names:
        read = uuid.UUID(name)
        assert (str(read), read.version, read.variant) == (name, 7, uuid.RFC_4122)
        assert before_ms <= read.int >> 80 <= after_ms


def test_every_random_bit_is_random() -> None:
    seen_one = seen_zero = 0
    for _ in range(500):
        bits = uuid.UUID(new_request_id()).int
        seen_one |= bits
        seen_zero |= ~bits
    chance = (0xFFF << 64) | 0x3FFF_FFFF_FFFF_FFFF
    assert seen_one & seen_zero & chance == chance


def test_a_child_process_draws_others_than_its_parent() -> None:
    new_request_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(new_request_id()[19:] for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 4_096).decode()
    os.close(reader)
    os.close(writer)
    assert not any(new_request_id()[19:] in theirs for _ in range(50))

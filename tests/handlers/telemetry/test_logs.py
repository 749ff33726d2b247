"""The log schema is closed: every field is a number, a flag, an enumeration or a plain name of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.telemetry import logs
from handlers.telemetry.logs import OTHER, AttemptEnded, Event, Level, Log, Room, identifier

RID = "0190b0a1-7c00-7000-8000-000000000001"


def all_events(base: type[Event] = Event) -> Iterator[type[Event]]:
    for event in base.__subclasses__():
        yield event
        yield from all_events(event)


def is_closed(kind: Any) -> bool:
    if get_origin(kind) in {Union, UnionType}:
        return all(is_closed(part) for part in get_args(kind))
    if kind in {int, bool, float, type(None), logs.Identifier}:
        return True
    return isinstance(kind, type) and issubclass(kind, StrEnum)


@pytest.mark.claim("C17", "C19", "C32")
@pytest.mark.parametrize("event", sorted(set(all_events()), key=repr))
def test_c17_no_event_has_a_field_for_free_text(event: type[Event]) -> None:
    for name, kind in get_type_hints(event).items():
        assert is_closed(kind), f"{event.__name__}.{name}: {kind}"


@pytest.mark.claim("A84")
@pytest.mark.parametrize(
    "value", ["two words", "line\nbreak", "\x1b[31m", '"quoted"', "x" * 161, "", "{json}", "-starts", "käse", "a;b"]
)
def test_a84_what_is_no_plain_name_becomes_other(value: str) -> None:
    assert identifier(value) == OTHER


@pytest.mark.parametrize("value", ["openai/gpt-4o-mini", RID, "127.0.0.1:8080", "local/smollm2-135m@local"])
def test_plain_names_stay(value: str) -> None:
    assert identifier(value) == value


def written(event: Event, level: Level = Level.DEBUG) -> bytes:
    reader, writer = os.pipe()
    try:
        Log(level, writer).emit(event)
        os.close(writer)
        return os.read(reader, 65_536)
    finally:
        os.close(reader)


def attempt(**changes: Any) -> AttemptEnded:
    values = {
        "request_id": identifier(RID),
        "provider": identifier("openai"),
        "model": identifier("m"),
        "attempt": 1,
        "duration_ms": 5,
    }
    return AttemptEnded(**{**values, **changes})


@pytest.mark.claim("A84")
def test_one_event_is_one_json_line() -> None:
    line = written(attempt(failure=FailureClass.TIMEOUT, upstream_status=504))
    assert line.count(b"\n") == 1
    found = msgspec.json.decode(line)
    assert (found["event"], found["failure"], found["upstream_status"]) == ("attempt", "timeout", 504)
    assert found["ts"].endswith("Z")


def test_quiet_levels_write_nothing() -> None:
    assert written(attempt(level=Level.DEBUG), Level.INFO) == b""


@pytest.mark.claim("C17")
@pytest.mark.parametrize(
    "parts",
    [
        ("sk-", "ant-api03-abcdefgh"),
        ("sk-tr-", "l1_u0000_secret"),
        ("AKIA", "ABCDEFGHIJKLMNOP"),
        ("Bearer ", "abcdefghijkl"),
        ("AIza", "x" * 35),
    ],
)
def test_c17_the_sink_overwrites_what_is_shaped_like_a_key(parts: tuple[str, str]) -> None:
    leak = "".join(parts)
    line = written(attempt(model=logs.Identifier(leak)))
    assert parts[1].encode() not in line
    assert b"[redacted]" in line


@pytest.mark.claim("C19")
def test_c19_a_fault_tells_type_and_place_and_never_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("the prompt of a customer")  # noqa: TRY301 - the point of the test
    except RuntimeError as error:
        Log().fault(Room.GATEWAY, error, request_id=RID)
    line = capfd.readouterr().err
    assert "the prompt" not in line
    assert msgspec.json.decode(line)["kind"] == "RuntimeError"


def test_a_broken_sink_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    Log(descriptor=writer).emit(attempt(level=Level.ERROR))

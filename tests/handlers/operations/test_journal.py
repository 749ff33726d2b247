from __future__ import annotations

import msgspec
import pytest

from handlers.operations.journal import EventError, Outcome, read_event, report


class Done(Outcome, frozen=True, kw_only=True):
    count: int
    names: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: int


def test_an_outcome_is_answered_logged_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Done(count=3)) == {"outcome": "Done", "count": 3, "names": []}
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert {"Done": [1.0]}.items() <= lines[-1].items()
    assert "TheRouter" in str(lines[-1]["_aws"])


@pytest.mark.claim("C17", "C32")
def test_something_shaped_like_a_key_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    key = "sk-" + "tr-" + "x" * 24
    report(Done(count=1, names=(key,)))
    assert key not in capsys.readouterr().out


@pytest.mark.parametrize("event", [{}, {"count": "many"}, {"count": 1, "more": 2}, [], None])
def test_an_event_that_is_not_ours_is_refused(event: object) -> None:
    with pytest.raises(EventError, match="deploy them again"):
        read_event(event, Wanted)

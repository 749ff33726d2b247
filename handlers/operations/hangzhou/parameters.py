"""Small values that outlive a call: parameters of OOS."""

from __future__ import annotations

import msgspec

from handlers.operations.hangzhou.api import Nothing, ask


class _Parameter(msgspec.Struct, frozen=True):
    value: str = msgspec.field(name="Value")


class _Answer(msgspec.Struct, frozen=True):
    parameter: _Parameter = msgspec.field(name="Parameter")


def read_parameter(name: str) -> str:
    """The text of a parameter."""
    return ask("oos", "GetParameter", _Answer, {"Name": name}).parameter.value


def write_parameter(name: str, value: str) -> None:
    """Put another text into it."""
    ask("oos", "UpdateParameter", Nothing, {"Name": name, "Value": value})

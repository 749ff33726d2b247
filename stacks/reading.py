"""How a setting is read: as text, in a form, as a list. A refusal names the setting and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from handlers import settings as handlers_settings
from handlers.settings import Doors

_FOREIGN = re.compile(r"aliyun|aliyuncs|cn-[a-z]+|china", re.IGNORECASE)


DOORS = tuple(field.name for field in fields(Doors))
"""Settings that may be left out: who vouches for people, and who tells us of keys in public."""


class SettingError(ValueError):
    """A setting is missing or malformed; the message names it and the remedy."""


def text(context: Mapping[str, object], name: str, remedy: str) -> str:
    """A value that must be there and must not name the other region."""
    value = context.get(name)
    if not isinstance(value, str) or not value.strip():
        raise SettingError(f"{name} is missing: {remedy}")
    value = value.strip()
    if _FOREIGN.search(value):
        raise SettingError(
            f"{name} is {value!r}, a name of the china region: these stacks are the global region's alone"
        )
    return value


def matching(context: Mapping[str, object], name: str, grammar: re.Pattern[str], remedy: str) -> str:
    """A value of one form."""
    value = text(context, name, remedy)
    if not grammar.fullmatch(value):
        raise SettingError(f"{name} is {value!r}: {remedy}")
    return value


def names(context: Mapping[str, object], name: str, remedy: str) -> tuple[str, ...]:
    """Values that are separated by commas."""
    return tuple(part.strip() for part in text(context, name, remedy).split(",") if part.strip())


def doors(context: Mapping[str, object]) -> Doors:
    """Who vouches for people and who tells us of keys in public; what is not named is nobody."""
    given = {name: text(context, name, "") for name in DOORS if context.get(name)}
    try:
        return Doors(**given).checked()
    except handlers_settings.SettingError as refused:
        # The room's name of the variable is the deployment's name of the setting.
        name, _, complaint = str(refused).removeprefix("THEROUTER_").partition(" ")
        raise SettingError(f"{name.lower()} {complaint}") from refused

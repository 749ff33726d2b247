"""One request to the admin API after routing, and the row that describes a route.

A route is data: what it is called, which scope it needs, what it takes and gives, and the function behind it. The resolver,
the OpenAPI document and the tests' walk over all routes are made from the same rows (A14).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from handlers.errors import InvalidRequest, NotFound
from handlers.store.control import Caller, Standing

if TYPE_CHECKING:
    from handlers.admin.room import Room

T = TypeVar("T")
ANYBODY = ""
"""The scope of routes that need no sign-in."""
SIGNED_IN = "*"
"""The scope of routes that every principal may use."""
STEP_UP_S = 900
"""How recently a person must have signed in for what cannot be undone; migrations/0302 and later check it."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_ID = re.compile(r"[0-9A-Za-z]{16}")


class Text(NamedTuple):
    """An answer that is not JSON."""

    media_type: str
    content: str


class Redirect(NamedTuple):
    """An answer that sends the browser elsewhere, with a cookie."""

    location: str
    cookie: str


class Call(NamedTuple):
    """One authenticated request, read."""

    room: Room
    caller: Caller
    standing: Standing
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]
    event: Mapping[str, Any]

    def ask(self, question: str, kind: type[T], **values: object) -> T:
        """Ask the database in the caller's name."""
        return self.room.store.ask(question, self.caller, kind, **values)

    def uuid(self, name: str) -> str:
        """An id of the path; NotFound when nothing can have it."""
        return self._identifier(name, _UUID)

    def key_id(self, name: str = "key_id") -> str:
        """A key's id of the path; NotFound when nothing can have it."""
        return self._identifier(name, _KEY_ID)

    def _identifier(self, name: str, grammar: re.Pattern[str]) -> str:
        value = self.path[name]
        if grammar.fullmatch(value) is None:
            raise NotFound(f"There is nothing with this {name}; list what there is to see the ids.", param=name)
        return value


class Route(NamedTuple):
    """One operation."""

    method: str
    path: str
    """With `<name>` for what is read from it."""
    scope: str
    summary: str
    run: Callable[[Call], Any]
    answer: type | None = None
    """None: no content."""
    body: type | None = None
    query: type | None = None
    status: int = 200
    dangerous: bool = False
    """It removes or opens something: a person must have signed in within STEP_UP_S."""

    @property
    def operation(self) -> str:
        """Its name in the OpenAPI document."""
        return self.run.__name__


def is_uuid(text: str) -> bool:
    """Whether this is written as ids of requests, tenants and users are."""
    return _UUID.fullmatch(text) is not None


def listed(text: str, allowed: tuple[str, ...], param: str) -> list[str]:
    """The names of a list separated by commas; InvalidRequest for any that is not allowed."""
    names = [name for name in text.split(",") if name]
    if any(name not in allowed for name in names) or len(set(names)) != len(names):
        raise InvalidRequest(f"The field {param} lists some of: {', '.join(allowed)}.", param=param)
    return names

"""What routing knows of a request. A module of its own, so that who reads requests can be machine code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from handlers.gateway.preferences import Preferences
from handlers.gateway.routes import Route

if TYPE_CHECKING:
    from handlers.gateway.makers import Made


class Call(msgspec.Struct, frozen=True):
    """One request as routing sees it."""

    route: Route
    models: tuple[str, ...]
    """What the client asks for, best first; at least one."""
    stream: bool
    output_cap: int | None
    """The client's own cap on output tokens, if it gave one."""
    choices: int
    preferences: Preferences
    session: str
    body: bytes
    target: str
    content_type: str
    """application/json, or the whole multipart type with its boundary."""
    needs: frozenset[str]
    """Capabilities that the request cannot do without: tools, json_schema."""
    premium: bool
    """It asks for a service tier that costs more than the list price, so a shared credential cannot serve it."""
    searches: bool
    """It may make the provider search the web, which costs by the search."""
    made: tuple[Made, ...] | None = None
    """Provider-bound material in it and who made it (makers.py); None: there is none."""
    known_as: object | None = None
    """Of a call whose messages are plain and short: the same object for all that differ in nothing but these messages."""

"""What ROS accepts: the resource types in use, their properties and attributes, as facts in `schema.json`.

A *shape* describes one value: its type (string, number, boolean, list, map, object, any), whether it is required, and where the
vendor states them its enumeration, range, length and pattern. Objects and list items nest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

PATH = Path(__file__).with_name("schema.json")


class Shape(msgspec.Struct, frozen=True):
    """What one value may be."""

    type: str = "any"
    required: bool = False
    enum: tuple[str | int | float | bool, ...] = ()
    min: float | None = None
    max: float | None = None
    length: tuple[int | None, int | None] | None = None
    """Of a string or a list: the least and the most."""
    pattern: str | None = None
    items: Shape | None = None
    properties: dict[str, Shape] = {}


class ResourceType(msgspec.Struct, frozen=True):
    """One resource type."""

    properties: dict[str, Shape]
    attributes: frozenset[str]


class Schema(msgspec.Struct, frozen=True):
    """All resource types in use, and where the facts come from."""

    notice: str
    packages: dict[str, str]
    types: dict[str, ResourceType]


@cache
def load() -> Schema:
    """The schema of the resource types in use."""
    return msgspec.json.decode(PATH.read_bytes(), type=Schema)

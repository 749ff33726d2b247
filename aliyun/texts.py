"""Names and texts in templates."""

from __future__ import annotations

import re
from typing import Any

import msgspec


def camel(name: str) -> str:
    """A logical id: `provider/deepseek` and `provider-deepseek` are `ProviderDeepseek`."""
    return "".join(part.capitalize() for part in re.split(r"[^a-zA-Z0-9]", name))


def sub(template: str, **values: object) -> dict[str, Any]:
    """Text with `${Name}` replaced by values, parameters and resources."""
    return {"Fn::Sub": [template, values] if values else template}


def as_json(value: object) -> str:
    """Plain data as compact JSON, for properties that take documents as text."""
    return msgspec.json.encode(value).decode()

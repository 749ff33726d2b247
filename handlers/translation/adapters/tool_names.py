"""Tool names that a provider's alphabet does not have: renamed on the way up, and back on the way down."""

from __future__ import annotations

import hashlib
import re

from handlers.translation.canonical.request import Tool


def rename_tools(tools: tuple[Tool, ...], accepted: str) -> dict[str, str]:
    """Each tool's name -> the name to send; names that `accepted` (a pattern for the whole name) allows stay."""
    pattern = re.compile(accepted)
    names: dict[str, str] = {}
    for tool in tools:
        names[tool.name] = tool.name if pattern.fullmatch(tool.name) else _safe(tool.name)
    return names


def _safe(name: str) -> str:
    """Readable where it can be, unique by its digest, 63 characters at most."""
    readable = re.sub(r"[^A-Za-z0-9_]", "_", name)[:46]
    return f"t_{readable}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"

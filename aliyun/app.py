"""Synthesis: from settings to one template in a file for each stack, offline and the same byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from aliyun.region import build_region
from aliyun.settings import Settings


def templates(settings: Settings) -> dict[str, dict[str, Any]]:
    """File name -> template, in order of deployment."""
    return {f"{stack.name}.json": stack.template() for stack in build_region(settings).stacks}


def write(settings: Settings, folder: Path) -> list[Path]:
    """Write all templates; the paths, in order of deployment."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, template in templates(settings).items():
        path = folder / name
        path.write_bytes(msgspec.json.format(msgspec.json.encode(template), indent=2) + b"\n")
        paths.append(path)
    return paths

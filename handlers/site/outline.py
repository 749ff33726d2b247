"""The order of the trust page, from outline.toml: sections of blocks of lines, and the claims behind each line."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "outline.toml"


class Line(msgspec.Struct, frozen=True):
    """One sentence."""

    key: str
    """Its text key, whole: `collect.keys.hashed`."""
    claims: tuple[str, ...]


class Block(msgspec.Struct, frozen=True):
    """A heading with its sentences."""

    key: str
    lines: tuple[Line, ...]


class Section(msgspec.Struct, frozen=True):
    """A part of the page."""

    key: str
    blocks: tuple[Block, ...]


class _BlockRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    lines: list[list[str]]


class _SectionRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    block: list[_BlockRow]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    section: list[_SectionRow]


@functools.cache
def load_outline() -> tuple[Section, ...]:
    """All sections in their order."""
    rows = msgspec.toml.decode(FILE.read_bytes(), type=_File).section
    return tuple(
        Section(row.id, tuple(_block(f"{row.id}.{block.id}", block.lines) for block in row.block)) for row in rows
    )


def _block(key: str, lines: list[list[str]]) -> Block:
    return Block(key, tuple(Line(f"{key}.{name}", tuple(claims)) for name, *claims in lines))


@functools.cache
def sentences_of() -> dict[str, tuple[str, ...]]:
    """Claim id -> text keys of the sentences that make it, in the order of the ids."""
    found: dict[str, list[str]] = {}
    for section in load_outline():
        for block in section.blocks:
            for line in block.lines:
                for claim in line.claims:
                    found.setdefault(claim, []).append(line.key)
    return {claim: tuple(found[claim]) for claim in sorted(found, key=lambda claim: int(claim[1:]))}

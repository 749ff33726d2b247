"""Every SQL statement that this program runs, by name: constants from `queries/*.sql`, read once.

A file is a sequence of statements, each under a line `-- name: ...` and, when the default is not right, a line
`-- timeout_ms: ...`. Parameters are written `:name`. Nothing else ever becomes SQL.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

QUERIES = Path(__file__).with_name("queries")
TIMEOUT_MS = 3_000
_HEAD = re.compile(r"^-- name: ([a-z0-9_]+)\n(?:-- timeout_ms: (\d+)\n)?", re.MULTILINE)


class Statement(NamedTuple):
    """One named statement and the longest time that the server may spend on it."""

    name: str
    sql: str
    timeout_ms: int


def read_statements(directory: Path = QUERIES) -> dict[str, Statement]:
    """The statements of all files; a name that occurs twice is an error."""
    statements: dict[str, Statement] = {}
    for path in sorted(directory.glob("*.sql")):
        _, *parts = _HEAD.split(path.read_text("utf-8"))
        for name, timeout_ms, sql in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if name in statements:
                raise ValueError(f"{path.name}: the statement `{name}` is defined twice")
            statements[name] = Statement(name, sql.strip().rstrip(";"), int(timeout_ms or TIMEOUT_MS))
    return statements


STATEMENTS = read_statements()

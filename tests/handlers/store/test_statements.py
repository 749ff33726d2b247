from __future__ import annotations

import re
from pathlib import Path

import pytest

from handlers.store.statements import QUERIES, STATEMENTS, Statement, read_statements


def test_a_statement_has_a_name_and_may_have_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nselect 1\n\n-- name: two\n-- timeout_ms: 7\nselect 2;\n", "utf-8")
    assert read_statements(tmp_path) == {
        "one": Statement("one", "select 1", 3_000),
        "two": Statement("two", "select 2", 7),
    }


def test_a_statement_defined_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nselect 1\n", "utf-8")
    (tmp_path / "b.sql").write_text("-- name: one\nselect 3\n", "utf-8")
    with pytest.raises(ValueError, match=r"b\.sql.*one"):
        read_statements(tmp_path)


def test_every_statement_is_one_call_of_a_function_by_its_full_name() -> None:
    """Rooms may execute functions and nothing else, and no search path decides which."""
    assert len(STATEMENTS) == sum(path.read_text("utf-8").count("-- name: ") for path in QUERIES.glob("*.sql"))
    for statement in STATEMENTS.values():
        assert ";" not in statement.sql, statement.name
        assert re.match(r"select\s(.*\sfrom\s+)?therouter\.[a-z0-9_]+\(", statement.sql, re.DOTALL), statement.name
        assert statement.sql.count("therouter.") == 1, statement.name

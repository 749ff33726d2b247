from __future__ import annotations

from typing import Any

import pytest

from handlers.workloads import functions

ROWS = {row.entry: row for row in functions("global")}


def ours(production: Any) -> list[dict[str, Any]]:
    return [row for row in production.properties("AWS::Lambda::Function") if row.get("PackageType") == "Image"]


def test_every_function_is_the_one_image_with_the_entry_of_its_row(production: Any) -> None:
    rows = ours(production)
    assert {row["ImageConfig"]["Command"][0] for row in rows} == set(ROWS)
    assert {tuple(row["ImageConfig"]["EntryPoint"]) for row in rows} == {("python", "-m", "awslambdaric")}
    assert all(str(row["Code"]["ImageUri"]).count("sha256:") == 1 for row in rows)
    assert {tuple(row["Architectures"]) for row in rows} == {("arm64",)}


def test_a_function_has_exactly_the_variables_of_its_row(production: Any) -> None:
    for row in ours(production):
        names = set(row["Environment"]["Variables"])
        assert names == {variable.value for variable in ROWS[row["ImageConfig"]["Command"][0]].variables}


@pytest.mark.claim("C57")
def test_only_a_function_with_a_database_role_is_in_the_network(production: Any) -> None:
    for row in ours(production):
        assert ("VpcConfig" in row) == bool(ROWS[row["ImageConfig"]["Command"][0]].database_role)


def test_no_variable_holds_a_secret(production: Any) -> None:
    for row in ours(production):
        assert "resolve:secretsmanager" not in str(row["Environment"])

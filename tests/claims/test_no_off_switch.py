"""C2: nothing that an operator can set turns key isolation, the audit trail or access control off."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from handlers.settings import Variable

HANDLERS = Path(__file__).parents[2] / "handlers"
ENVIRONMENTS = {"environ", "environment", "getenv"}
SWITCH = re.compile(
    r"AUDIT|AUTH(?!ORIT)|ACCESS_CONTROL|INSECURE|UNSAFE|DISABLE|SKIP|BYPASS|NO_VERIFY|TRUST|PERMIT|ALLOW|ANONYMOUS|PUBLIC_KEYS"
)
OF_PLATFORMS = re.compile(r"AWS_|FC_|ALIBABA_CLOUD_|POWERTOOLS_")
"""Variables that a cloud sets: where it keeps an identity, and which function this is."""


def variables_read() -> dict[str, str]:
    """Environment variable -> the file that reads it by a constant name, beside handlers/local."""
    found: dict[str, str] = {}
    for path in HANDLERS.rglob("*.py"):
        if "local" in path.relative_to(HANDLERS).parts[:1]:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for name in _names_in(node):
                found[name] = str(path.relative_to(HANDLERS))
    return found


def _names_in(node: ast.AST) -> list[str]:
    match node:
        case ast.Subscript(value=source, slice=ast.Constant(value=str(name))) if _is_environment(source):
            return [name]
        case ast.Call(func=ast.Attribute(value=source, attr="get"), args=[ast.Constant(value=str(name)), *_]) if (
            _is_environment(source)
        ):
            return [name]
        case ast.Compare(left=ast.Constant(value=str(name)), comparators=[source]) if _is_environment(source):
            return [name]
    return []


def _is_environment(source: ast.expr) -> bool:
    match source:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in ENVIRONMENTS
    return False


@pytest.mark.claim("C2")
def test_c2_no_setting_turns_a_wall_off() -> None:
    names = {*(str(name) for name in Variable), *variables_read()}
    assert variables_read()
    assert {name for name in names if SWITCH.search(name)} == set()


@pytest.mark.claim("C2")
def test_c2_what_is_read_beside_the_settings_is_a_platforms() -> None:
    strangers = {name: path for name, path in variables_read().items() if not OF_PLATFORMS.match(name)}
    assert {name for name in strangers if name not in set(Variable)} == set()


@pytest.mark.claim("C2")
@pytest.mark.parametrize(
    "name", ["THEROUTER_AUDIT", "THEROUTER_DISABLE_KEYS", "THEROUTER_SKIP_LIMITS", "THEROUTER_NO_AUTH"]
)
def test_c2_a_switch_would_be_noticed(name: str) -> None:
    assert SWITCH.search(name)

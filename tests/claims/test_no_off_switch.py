"""C2: nothing that an operator can set turns key isolation, the audit trail or access control off."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from handlers.settings import Variable

HANDLERS = Path(__file__).parents[2] / "handlers"
NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
SWITCH = re.compile(
    r"AUDIT|AUTH|ACCESS_CONTROL|INSECURE|UNSAFE|DISABLE|SKIP|BYPASS|NO_VERIFY|TRUST|PERMIT|ALLOW|ANONYMOUS"
)


NO_SWITCHES = {"PERMISSION_DENIED", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}
"""Written alike, and no switch: a provider's error code, and the file in which a platform leaves an identity."""


def names_in_code() -> set[str]:
    """Every constant outside handlers/local that is written as environment variables are."""
    found: set[str] = set()
    for path in HANDLERS.rglob("*.py"):
        if path.relative_to(HANDLERS).parts[0] == "local":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Constant(value=str(text)) if NAME.fullmatch(text):
                    found.add(text)
    return found


@pytest.mark.claim("C2")
def test_c2_no_setting_turns_a_wall_off() -> None:
    assert {"AWS_LAMBDA_FUNCTION_NAME", "THEROUTER_REGION"} <= names_in_code()
    assert {name for name in names_in_code() if SWITCH.search(name) and name not in NO_SWITCHES} == set()


@pytest.mark.claim("C2")
def test_c2_our_settings_are_declared_in_one_place() -> None:
    ours = {name for name in names_in_code() if name.startswith("THEROUTER_")}
    assert ours == set(Variable)


@pytest.mark.claim("C2")
@pytest.mark.parametrize(
    "name", ["THEROUTER_AUDIT", "THEROUTER_DISABLE_KEYS", "THEROUTER_SKIP_LIMITS", "THEROUTER_NO_AUTH"]
)
def test_c2_a_switch_would_be_noticed(name: str) -> None:
    assert SWITCH.search(name)

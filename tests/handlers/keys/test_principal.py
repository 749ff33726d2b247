from __future__ import annotations

import pytest

from handlers.keys.principal import KeyLimits, KeyRow, Principal


def principal(key_id: str = "u" * 16, account: str = "account", user: str = "user") -> Principal:
    return Principal(
        key_id=key_id,
        account=account,
        user=user,
        account_state="active",
        expires_at=None,
        limits=KeyLimits(),
        retention_days=90,
        byok_mode="prefer",
    )


@pytest.mark.parametrize("missing", ["key_id", "account", "user"])
def test_an_empty_principal_cannot_be_built(missing: str) -> None:
    with pytest.raises(ValueError, match="names its key"):
        principal(**{missing: ""})


@pytest.mark.claim("C17")
def test_a_row_does_not_show_its_hash() -> None:
    assert "canary" not in repr(KeyRow("u" * 16, "canary", "active", None, principal()))

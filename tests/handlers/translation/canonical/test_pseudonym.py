"""Names that clients give to their users and caches are told apart by account at a provider that takes all accounts for one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.translation.canonical.attempt import Asked, UpstreamTarget
from handlers.translation.canonical.pseudonym import PSEUDONYM_CHARACTERS, pseudonym
from handlers.translation.exchange import begin

NAMES: dict[str, dict[str, Any]] = {
    "openai_chat": {"user": "same-user", "safety_identifier": "same-person", "prompt_cache_key": "same-key"},
    "openai_responses": {"user": "same-user", "safety_identifier": "same-person", "prompt_cache_key": "same-key"},
    "anthropic_messages": {"metadata": {"user_id": "same-user"}},
}
SAYS: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "hi"}]},
    "openai_responses": {"input": "hi"},
    "anthropic_messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
}


def sent(dialect: str, wire_format: str, account: str, *, stateless: bool = True) -> bytes:
    """What the provider gets of a request with all names."""
    target = UpstreamTarget(wire_format=wire_format, upstream_model="m", provider="p", provider_name="P")
    body = msgspec.json.encode({"model": "m", **NAMES[dialect], **SAYS[dialect]})
    asked = Asked(
        dialect, "chat", target, body, "application/json", "/", {}, "a/m", False, stateless, 0, False, 0, "r", account=account
    )  # fmt: skip
    return begin(asked).upstream.body


@pytest.mark.claim("A72")
@pytest.mark.parametrize("wire_format", ["openai_chat", "openai_responses", "anthropic_messages"])
@pytest.mark.parametrize("dialect", list(NAMES))
def test_a72_the_same_name_of_two_accounts_is_two_names(dialect: str, wire_format: str) -> None:
    one, other = sent(dialect, wire_format, "account-1"), sent(dialect, wire_format, "account-2")
    assert one == sent(dialect, wire_format, "account-1"), "and one account's is always the same"
    assert one != other
    assert pseudonym("account-1", "same-user").encode() in one
    assert pseudonym("account-2", "same-user").encode() in other
    for account, body in (("account-1", one), ("account-2", other)):
        assert b"same-" not in body
        assert account.encode() not in body


@pytest.mark.parametrize("wire_format", ["openai_chat", "openai_responses"])
def test_at_its_own_account_the_client_names_its_caches_itself(wire_format: str) -> None:
    assert b'"prompt_cache_key":"same-key"' in sent("openai_chat", wire_format, "account-1", stateless=False)


def test_a_pseudonym_is_of_one_length_and_nobody_has_none() -> None:
    assert len(pseudonym("a", "b" * 999)) == len(pseudonym("a", "b")) == PSEUDONYM_CHARACTERS
    assert not pseudonym("a", "")
    assert pseudonym("1", "2a") != pseudonym("12", "a")

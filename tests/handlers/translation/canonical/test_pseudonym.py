"""Names that clients give to their users and caches are told apart by account at a provider that takes all accounts for one."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.translation.canonical.known_sides import KEPT_FIELDS
from handlers.translation.canonical.pseudonym import PSEUDONYM_CHARACTERS, pseudonym
from handlers.translation.passthrough.base import CACHE_FIELDS, USER_FIELDS
from tests.handlers.translation.driving import attempt

NAMES: dict[str, dict[str, Any]] = {
    "openai_chat": {"user": "same-user", "safety_identifier": "same-person", "prompt_cache_key": "same-key"},
    "openai_responses": {"user": "same-user", "safety_identifier": "same-person", "prompt_cache_key": "same-key"},
    "anthropic_messages": {"metadata": {"user_id": "same-user"}},
}


def sent(dialect: str, wire_format: str, account: str, *, stateless: bool = True) -> bytes:
    """What the provider gets of a request with all names."""
    names = NAMES[dialect]
    asking = attempt(
        names, dialect=dialect, wire_format=wire_format, stream=False, stateless=stateless, account=account
    )
    return asking.upstream.body


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


@pytest.mark.claim("A72")
def test_a72_what_is_known_of_a_body_whoever_sends_it_holds_no_name() -> None:
    assert KEPT_FIELDS.isdisjoint(USER_FIELDS + CACHE_FIELDS)


@pytest.mark.parametrize("wire_format", ["openai_chat", "openai_responses"])
def test_at_its_own_account_the_client_names_its_caches_itself(wire_format: str) -> None:
    assert b'"prompt_cache_key":"same-key"' in sent("openai_chat", wire_format, "account-1", stateless=False)


def test_a_pseudonym_is_of_one_length_and_nobody_has_none() -> None:
    assert len(pseudonym("a", "b" * 999)) == len(pseudonym("a", "b")) == PSEUDONYM_CHARACTERS
    assert not pseudonym("a", "")
    assert pseudonym("1", "2a") != pseudonym("12", "a")

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from handlers.site.disclosure import write_security_text
from handlers.site.texts import LANGUAGES, REVIEWED
from tests.handlers.site.pages import PUBLIC_URL, Reader, ask, make_site


def fields_of(text: str) -> dict[str, str]:
    rows = [line.split(": ", 1) for line in text.splitlines()]
    assert len({name for name, _ in rows}) == len(rows)
    return {name: value for name, value in rows}  # noqa: C416 -- dict() of lists does not type


@pytest.mark.claim("C76")
def test_security_txt_is_valid_and_not_about_to_expire() -> None:
    answer = ask(make_site(), "/.well-known/security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = fields_of(answer.body)
    assert fields["Contact"] == "mailto:security@therouter.ai"
    assert fields["Canonical"] == f"{PUBLIC_URL}/.well-known/security.txt"
    assert fields["Policy"] == f"{PUBLIC_URL}/security/policy"
    assert fields["Preferred-Languages"] == "en, zh"
    left = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert left < timedelta(days=365)
    assert left > timedelta(days=30), "review the texts and set REVIEWED in handlers/site/texts.py"


def test_its_end_follows_from_the_day_of_review() -> None:
    text = write_security_text(PUBLIC_URL, date(2027, 2, 1))
    assert fields_of(text)["Expires"] == "2027-12-28T00:00:00Z"
    assert datetime.now(UTC).date() >= REVIEWED


@pytest.mark.claim("C76")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_policy_promises_safe_harbour_and_says_where_to_write(language: str) -> None:
    words = " ".join(Reader(ask(make_site(), "/security/policy", f"lang={language}").body).text)
    assert "security@therouter.ai" in words
    promise = {"en": "will not pursue legal action", "zh": "不会对善意的安全研究采取法律行动"}
    assert promise[language] in words

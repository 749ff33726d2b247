"""Every error that a client can see has a Chinese sentence, and the china region says both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import handlers
from handlers import messages
from handlers.errors import FAILURES, NotFound, RateLimited, TheRouterError
from handlers.gateway.credit import _REFUSALS as BUDGETS
from handlers.gateway.refusals import render, stream_error
from handlers.store.refusals import REFUSALS

SOURCE = Path(handlers.__file__).parent
SAID = TheRouterError("The field x is wrong.", code="invalid_request", param="x")


def codes_of(tree: ast.Module) -> Iterator[str]:
    """Codes that are written in a module: of errors that are raised, and of classes of errors."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values: list[ast.expr] = [word.value for word in node.keywords if word.arg == "code"]
        elif isinstance(node, ast.ClassDef):
            values = [item.value for item in node.body if isinstance(item, ast.Assign) and _names(item) == ["code"]]
        else:
            continue
        yield from (value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str))


def _names(item: ast.Assign) -> list[str]:
    return [target.id for target in item.targets if isinstance(target, ast.Name)]


def all_codes() -> set[str]:
    """Every code that one of our rooms can answer with."""
    found = {rule.code for rule in FAILURES.values()}
    found |= {refusal.code for refusal in REFUSALS.values() if refusal.code is not None}
    found |= {code for _, code in BUDGETS.values()}
    for path in SOURCE.rglob("*.py"):
        if "local" not in path.relative_to(SOURCE).parts:  # stand-ins answer in other companies' words
            found |= set(codes_of(ast.parse(path.read_text())))
    return found


@pytest.fixture
def china(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process runs in the china region."""
    monkeypatch.setenv("THEROUTER_REGION", "china")
    messages.speaks_chinese.cache_clear()
    before = dict(FAILURES)
    yield
    FAILURES.update(before)
    monkeypatch.undo()
    messages.speaks_chinese.cache_clear()


def is_chinese(sentence: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in sentence)


def test_every_code_has_a_chinese_sentence() -> None:
    missing = sorted(all_codes() - messages.chinese().keys())
    assert missing == [], f"write them into {messages.FILE.name}"
    assert len(messages.chinese()) > 60


def test_every_sentence_is_chinese_and_ends() -> None:
    assert [code for code, said in messages.chinese().items() if not is_chinese(said) or said[-1] != "。"] == []


def test_the_global_region_speaks_english() -> None:
    assert messages.told(SAID) == "The field x is wrong."


@pytest.mark.usefixtures("china")
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "google_generate", "openai_responses"])
def test_the_china_region_says_both_in_every_dialect(dialect: str) -> None:
    _, _, body = render(SAID, dialect, "id")
    error = msgspec.json.decode(body)["error"]
    assert error["message"] == f"{messages.chinese()['invalid_request']} (The field x is wrong.)"
    assert "请求有误" in stream_error(SAID, dialect, "id").decode()


@pytest.mark.usefixtures("china")
def test_a_code_without_a_sentence_gets_that_of_its_status() -> None:
    assert messages.told(NotFound("Gone.", code="new")).startswith("未找到")
    assert messages.told(RateLimited("Wait.", code="new")).startswith("请求过于频繁")
    assert messages.told(TheRouterError("Broken.", code="new")).startswith("内部错误")


@pytest.mark.usefixtures("china")
def test_failures_in_the_middle_of_a_stream_say_both_once() -> None:
    messages.speak_of_failures()
    for rule in FAILURES.values():
        assert is_chinese(rule.message)
        assert rule.message.count(messages.chinese()[rule.code]) == 1


def test_elsewhere_the_table_of_failures_stays() -> None:
    before = dict(FAILURES)
    messages.speak_of_failures()
    assert before == FAILURES

from __future__ import annotations

import pytest

from handlers.errors import Unprocessable
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import CanonicalRequest, Media, Message, Text, Tool
from handlers.translation.registry import ADAPTERS

QUESTION = Message("user", (Text("Hello"),), "messages[0]")
PICTURE = Media("image", "messages[0].content[0].image_url", url="https://pictures.test/x.png")
ONE_TEXT = ("anthropic_messages", "bedrock_converse", "cohere", "openai_responses")
"""Formats with one answer, of text."""


def refusal_of(wire_format: str, request: CanonicalRequest) -> Unprocessable:
    target = UpstreamTarget(wire_format, "model-1", "maker", tools=False, vision=False)
    with pytest.raises(Unprocessable) as caught:
        ADAPTERS[wire_format].build_request(request, target)
    return caught.value


@pytest.mark.parametrize("wire_format", ADAPTERS)
def test_an_endpoint_without_tools_says_so_and_the_way_out(wire_format: str) -> None:
    refusal = refusal_of(wire_format, CanonicalRequest((QUESTION,), stream=False, tools=(Tool("look"),)))
    assert refusal.param == "tools"
    assert "choose another model" in refusal.message


@pytest.mark.parametrize("wire_format", ADAPTERS)
def test_a_picture_that_cannot_be_shown_is_refused_by_its_place(wire_format: str) -> None:
    message = Message("user", (Text("What is this?"), PICTURE), "messages[0]")
    refusal = refusal_of(wire_format, CanonicalRequest((message,), stream=False))
    assert refusal.param == PICTURE.at
    assert "takes no image" in refusal.message


@pytest.mark.parametrize("wire_format", ONE_TEXT)
@pytest.mark.parametrize(("param", "asked"), [("n", {"choices": 2}), ("modalities", {"modalities": ("audio",)})])
def test_more_than_one_text_is_refused_where_there_is_one(
    wire_format: str, param: str, asked: dict[str, object]
) -> None:
    request = CanonicalRequest((QUESTION,), stream=False, **asked)  # type: ignore[arg-type]
    assert refusal_of(wire_format, request).param == param

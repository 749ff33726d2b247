"""Embeddings, rerank, moderations, images, audio and counting through the façade."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass, InvalidRequest, Unprocessable
from handlers.translation.canonical.attempt import Asked, Translation, UpstreamTarget
from handlers.translation.exchange import begin
from tests.handlers.translation.driving import JSON_HEAD, play, sent, told, told_json

JSON = "application/json"


def ask(operation: str, body: Any, wire_format: str = "openai_chat", *quirks: str, **changes: Any) -> Translation:
    values: dict[str, Any] = {
        "dialect": f"openai_{operation}",
        "operation": operation,
        "upstream": UpstreamTarget(wire_format, "model-1", "maker", quirks=frozenset(quirks)),
        "body": body if isinstance(body, bytes) else msgspec.json.encode(body),
        "content_type": JSON,
        "target": "",
        "client_headers": {},
        "public_model": "author/model",
        "stream": False,
        "stateless": True,
        "output_tokens_max": 0,
        "upstream_stream": False,
        "now_s": 1_700_000_000,
        "response_id": "gen-0123456789abcdef",
    }
    return begin(Asked(**(values | changes)))


def answer(fields: Any) -> bytes:
    return msgspec.json.encode(fields)


VECTORS = [[0.5, -0.25], [1.0, 2.0]]


def test_embeddings_pass_through_under_the_public_name() -> None:
    translation = ask("embeddings", {"model": "x", "input": ["a", "b"], "encoding_format": None})
    assert translation.upstream.path == "/embeddings"
    assert sent(translation) == {"model": "model-1", "input": ["a", "b"]}
    body = {
        "object": "list",
        "data": [{"embedding": VECTORS[0]}],
        "model": "m",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    whole = told_json(translation, answer(body))
    assert whole["model"] == "author/model"
    assert whole["data"] == body["data"]
    assert translation.outcome.usage.input == 4
    assert not translation.outcome.usage.estimated


def test_usage_that_counts_the_total_alone_counts() -> None:
    translation = ask("embeddings", {"input": "a"})
    play(translation, answer({"data": [], "usage": {"total_tokens": 7}}))
    assert translation.outcome.usage.input == 7


@pytest.mark.parametrize("packed", [False, True])
def test_embeddings_of_gemini_and_cohere_take_openais_shape(packed: bool) -> None:
    asked = {"input": ["a", "b"], "dimensions": 2} | ({"encoding_format": "base64"} if packed else {})
    gemini = ask("embeddings", asked, "gemini")
    assert gemini.upstream.path == "/models/model-1:batchEmbedContents"
    assert sent(gemini)["requests"][1] == {
        "model": "models/model-1",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 2,
    }
    cohere = ask("embeddings", asked, "cohere")
    assert sent(cohere)["texts"] == ["a", "b"]
    assert cohere.warnings == ("adapted:input_type",)
    told_by_gemini = told_json(gemini, answer({"embeddings": [{"values": v} for v in VECTORS]}))
    billed = {"billed_units": {"input_tokens": 3}}
    told_by_cohere = told_json(cohere, answer({"embeddings": {"float": VECTORS}, "meta": billed}))
    for whole in (told_by_gemini, told_by_cohere):
        first = whole["data"][0]["embedding"]
        values = list(struct.unpack("<2f", base64.b64decode(first))) if packed else first
        assert values == VECTORS[0]
        assert [one["index"] for one in whole["data"]] == [0, 1]
    assert gemini.outcome.usage.estimated
    assert cohere.outcome.usage.input == 3


def test_token_ids_are_refused_where_only_texts_are_taken() -> None:
    assert sent(ask("embeddings", {"input": [[1, 2], [3]]}))["input"] == [[1, 2], [3]]
    with pytest.raises(Unprocessable) as refused:
        ask("embeddings", {"input": [[1, 2]]}, "gemini")
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        ("embeddings", {}, "input"),
        ("embeddings", {"input": []}, "input"),
        ("embeddings", {"input": "a", "dimensions": 0}, "dimensions"),
        ("embeddings", {"input": True}, "input"),
        ("rerank", {"query": "a", "documents": []}, "documents"),
        ("rerank", {"query": "a", "documents": ["b"], "top_n": True}, "top_n"),
        ("images", {"prompt": "a", "n": 0}, "n"),
        ("speech", {"input": ""}, "input"),
        ("moderations", {"input": []}, "input"),
    ],
)
def test_bad_fields_are_refused_by_name(operation: str, body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask(operation, body)
    assert refused.value.param == param


def test_rerank_speaks_cohere_to_clients_and_voyage_where_it_must() -> None:
    asked = {"query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True}
    cohere = ask("rerank", asked, "cohere")
    assert sent(cohere)["top_n"] == 1
    result = {"results": [{"index": 1, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}}
    whole = told_json(cohere, answer(result))
    assert whole["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    assert cohere.outcome.usage.searches == 1
    voyage = ask("rerank", asked, "openai_chat", "voyage_rerank")
    assert sent(voyage)["top_k"] == 1
    told_ = told_json(voyage, answer({"data": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 8}}))
    assert told_["results"][0]["index"] == 0
    assert voyage.outcome.usage.input == 8


def test_images_are_billed_by_token_and_piece() -> None:
    translation = ask("images", {"model": "x", "prompt": "cat", "n": 2})
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 4, "text_tokens": 6},
        "output_tokens": 20,
        "output_tokens_details": {"image_tokens": 18, "text_tokens": 2},
    }
    play(translation, answer({"created": 1, "data": [{"b64_json": "x"}, {"b64_json": "y"}], "usage": usage}))
    told_ = translation.outcome.usage
    assert (told_.input, told_.image_input, told_.output, told_.image_output, told_.images) == (6, 4, 2, 18, 2)


def test_speech_is_forwarded_as_it_comes_and_billed_by_the_character() -> None:
    translation = ask("speech", {"model": "x", "input": "Hello", "voice": "v"})
    translation.start(200, {"content-type": "audio/mpeg"})
    assert translation.content_type == "audio/mpeg"
    first = translation.receive_data(b"ID3")
    assert first.data == b"ID3"
    assert first.semantic
    assert translation.receive_eof().ended
    assert translation.outcome.usage.characters == 5


def test_speech_that_turns_out_to_be_an_error_is_one() -> None:
    translation = ask("speech", {"input": "Hello"})
    play(translation, b'{"error":{"type":"server_error"}}', head=JSON_HEAD)
    assert translation.outcome.failure is FailureClass.SERVER_ERROR
    assert translation.outcome.usage.characters == 0


FORM = (
    b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nauthor/model\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    b"ID3\r\n\x00--not a boundary\r\n--xyz--\r\n"
)


def test_forms_are_edited_in_memory_and_their_files_stay_as_they_are() -> None:
    translation = ask("transcriptions", FORM, content_type="multipart/form-data; boundary=xyz")
    assert translation.upstream.body == FORM.replace(b"author/model", b"model-1")
    assert dict(translation.upstream.headers)["content-type"] == "multipart/form-data; boundary=xyz"
    usage = {"type": "duration", "seconds": 3}
    assert told_json(translation, answer({"text": "hi", "usage": usage}))["text"] == "hi"
    assert translation.outcome.usage.seconds_ms == 3_000


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 37, "output_tokens": 5, "input_token_details": {"audio_tokens": 30}}, (7, 30, 5, 0)),
        ({"prompt_audio_seconds": 3, "prompt_tokens": 3, "completion_tokens": 11}, (3, 0, 11, 3_000)),
    ],
)
def test_transcripts_are_billed_in_each_providers_words(usage: dict[str, Any], expected: tuple[int, ...]) -> None:
    translation = ask("transcriptions", FORM, content_type="multipart/form-data; boundary=xyz")
    play(translation, answer({"text": "hi", "usage": usage}))
    told_ = translation.outcome.usage
    assert (told_.input, told_.audio_input, told_.output, told_.seconds_ms) == expected


def test_a_transcript_as_plain_text_is_billed_by_estimate() -> None:
    translation = ask("transcriptions", FORM, content_type="multipart/form-data; boundary=xyz")
    assert told(translation, b"hi there", head={"content-type": "text/plain"}) == b"hi there"
    assert translation.content_type == "text/plain"
    assert translation.outcome.usage.estimated


@pytest.mark.parametrize(
    "body", [b"", b"--xyz--", b"--xyz\r\nno name\r\n\r\nx\r\n--xyz--", FORM[:-8], FORM.replace(b'"file"', b'"f"')]
)
def test_broken_forms_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ask("transcriptions", body, content_type="multipart/form-data; boundary=xyz")


def test_operations_answer_once() -> None:
    for operation, body in (("embeddings", {"input": "a"}), ("images", {"prompt": "a"})):
        with pytest.raises(Unprocessable) as refused:
            ask(operation, body, stream=True)
        assert refused.value.param == "stream"


def test_what_a_provider_cannot_do_is_refused() -> None:
    for operation, wire_format in (
        ("images", "anthropic_messages"),
        ("speech", "gemini"),
        ("telepathy", "openai_chat"),
    ):
        with pytest.raises(Unprocessable):
            ask(operation, {"input": "a", "prompt": "a"}, wire_format)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b"\xff", b'{"data":5}'])
def test_answers_that_cannot_be_read_are_failures(body: bytes) -> None:
    translation = ask("embeddings", {"input": "a"})
    outputs = play(translation, body)
    assert outputs[-1].final == b""
    assert translation.outcome.failure in {FailureClass.MALFORMED, FailureClass.TRUNCATED}


HI = [{"role": "user", "content": "Hello, how many tokens is this?"}]


def test_tokens_are_counted_by_the_provider_where_the_format_is_its_own() -> None:
    translation = ask("count_tokens", {"messages": HI}, "anthropic_messages", dialect="anthropic_messages")
    assert translation.upstream.path == "/messages/count_tokens"
    assert told_json(translation, b'{"input_tokens":14}') == {"input_tokens": 14}
    contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    gemini = ask("count_tokens", contents, "gemini", dialect="google_generate")
    assert gemini.upstream.path == "/models/model-1:countTokens"
    assert told_json(gemini, b'{"totalTokens":3}') == {"totalTokens": 3}


def test_tokens_are_estimated_everywhere_else_and_the_answer_says_so() -> None:
    translation = ask("count_tokens", {"messages": HI}, "openai_chat", dialect="anthropic_messages")
    assert translation.answer is not None
    assert 5 <= msgspec.json.decode(translation.answer.final)["input_tokens"] <= 30
    assert translation.warnings == ("estimated:input_tokens",)
    contents = {"contents": [{"role": "user", "parts": [{"text": "hi there"}]}]}
    google = ask("count_tokens", contents, "openai_chat", dialect="google_generate")
    assert google.answer is not None
    assert msgspec.json.decode(google.answer.final)["totalTokens"] > 0

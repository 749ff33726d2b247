from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.bedrock_converse import BedrockAdapter
from handlers.translation.canonical.events import ResponseFailed
from handlers.translation.canonical.request import CanonicalRequest, Media, Message
from handlers.translation.framing.aws_event_stream import message_bytes
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode
from tests.laws.observing import decode
from tests.laws.requests import SPEAKING, SPOKEN, TWO_CHOICES

USAGE = {
    "inputTokens": 12,
    "outputTokens": 9,
    "totalTokens": 29,
    "cacheReadInputTokens": 5,
    "cacheWriteInputTokens": 3,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 2}],
}
REMOTE = Media("image", "messages[0].content[0].image_url.url", url="https://pictures.example/cat.png")


def event(name: str, **payload: Any) -> bytes:
    return message_bytes(name, encode(payload))


def delta(index: int, **fields: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=fields, p="abc")


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def begin_call(index: int, call_id: str, name: str) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start={"toolUse": {"toolUseId": call_id, "name": name}})


def end(reason: str = "end_turn") -> bytes:
    return event("messageStop", stopReason=reason) + event("metadata", usage=USAGE, metrics={"latencyMs": 5})


def answer(content: list[dict[str, Any]], reason: str = "end_turn") -> bytes:
    message = {"role": "assistant", "content": content}
    return encode({"output": {"message": message}, "stopReason": reason, "usage": USAGE})


START = event("messageStart", role="assistant")


class TestBedrockConverse(DecoderLaws):
    adapter: ClassVar[Adapter] = BedrockAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": START + delta(0, text=HOSTILE_TEXT) + delta(0, text=".") + stop(0) + end(),
        "calls": START
        + delta(0, text="Looking.")
        + stop(0)
        + begin_call(1, "t1", "look")
        + delta(1, toolUse={"input": '{"a"'})
        + delta(1, toolUse={"input": ":1}"})
        + stop(1)
        + begin_call(2, "t2", "leap")
        + stop(2)
        + end("tool_use"),
        "thinking": START
        + delta(0, reasoningContent={"text": "hm"})
        + delta(0, reasoningContent={"signature": "c2ln"})
        + stop(0)
        + delta(1, reasoningContent={"redactedContent": "ZW5j"})
        + stop(1)
        + delta(2, text="Yes")
        + stop(2)
        + end("max_tokens"),
        "throttled": START + delta(0, text="a") + message_bytes("throttlingException", b'{"message":"x"}', "exception"),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": answer([{"text": HOSTILE_TEXT + "."}]),
        "calls": answer(
            [
                {"text": "Looking."},
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "leap", "input": {}}},
            ],
            "tool_use",
        ),
        "thinking": answer(
            [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "ZW5j"}},
                {"text": "Yes"},
            ],
            "max_tokens",
        ),
    }
    unknown: ClassVar[bytes] = START + event("hologram") + end()
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        "n": TWO_CHOICES,
        "modalities": SPEAKING,
        "messages[0].content[0].input_audio": SPOKEN,
        REMOTE.at: CanonicalRequest(messages=(Message("user", (REMOTE,)),), stream=True),
    }
    opening: ClassVar[bytes] = START
    endless: ClassVar[bytes] = delta(0, text="x" * 100)
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (400, encode({"__type": "ValidationException", "message": "x"}), FailureClass.INVALID_REQUEST),
        (400, encode({"message": "Input is too long for requested model."}), FailureClass.CONTEXT_LENGTH),
        (403, encode({"__type": "aws#AccessDeniedException"}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (
            403,
            encode({"message": "The security token included in the request is invalid."}),
            FailureClass.UNAUTHENTICATED_UPSTREAM,
        ),
        (404, encode({"__type": "ResourceNotFoundException"}), FailureClass.NOT_FOUND_UPSTREAM),
        (408, encode({"__type": "ModelTimeoutException"}), FailureClass.TIMEOUT),
        (424, encode({"__type": "ModelErrorException"}), FailureClass.SERVER_ERROR),
        (429, encode({"__type": "ThrottlingException"}), FailureClass.RATE_LIMITED),
        (429, encode({"__type": "ModelNotReadyException"}), FailureClass.OVERLOADED),
        (503, encode({"__type": "ServiceUnavailableException"}), FailureClass.OVERLOADED),
    ]

    def frame_ends(self, stream: bytes) -> list[int]:
        ends = [0]
        while ends[-1] < len(stream):
            ends.append(ends[-1] + int.from_bytes(stream[ends[-1] : ends[-1] + 4]))
        return ends[1:]

    def test_law_2_a_cut_inside_a_frame_never_looks_whole(self) -> None:
        for stream in self.made.values():
            whole = False
            start = 0
            for end_ in self.frame_ends(stream):
                for cut in range(start, end_):
                    assert self.is_whole(stream[:cut]) is whole
                whole = self.is_whole(stream[:end_])
                start = end_

    def test_law_8_a_frame_without_end_is_refused(self) -> None:
        huge = (1 << 31).to_bytes(4) + b"\x00" * 4
        for broken in (huge + b"\x00" * 4, b"\x00" * 12, START[:-1] + b"\x00"):
            assert decode(self.decoder(), [broken])[-1] == ResponseFailed(FailureClass.MALFORMED)

    def test_an_exception_in_the_stream_has_its_class(self) -> None:
        for name, failure in (
            ("throttlingException", FailureClass.RATE_LIMITED),
            ("modelStreamErrorException", FailureClass.SERVER_ERROR),
            ("internalServerException", FailureClass.SERVER_ERROR),
            ("serviceUnavailableException", FailureClass.OVERLOADED),
            ("validationException", FailureClass.INVALID_REQUEST),
        ):
            stream = START + message_bytes(name, b'{"message":"x"}', "exception")
            assert decode(self.decoder(), [stream])[-1] == ResponseFailed(failure)

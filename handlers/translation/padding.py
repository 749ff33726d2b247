"""Streams whose events say less by their size: each frame is filled up to a multiple of `STEP` bytes.

Who watches an encrypted connection sees how long each event is, and can tell much from that ("Whisper Leak"). A client that
minds asks for padding, by `stream_options.include_obfuscation` where the format has it (OpenAI's), or by the header
`x-therouter-padding: on` in any. Without that nothing here is made, called or looked at.

Rules
    Every frame is padded, whatever it says; its meaning stays byte for byte.
    Where OpenAI has a field for it (`obfuscation`, beside a `delta`), it is that; elsewhere a comment before it, as keep-alives are,
    which readers skip; between the values of a JSON array, blanks.
    A frame that its provider has padded is left as it is.

What remains: a frame tells which multiple of `STEP` it fits into, frames tell when they come and how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.errors import FailureClass
from handlers.translation.canonical.attempt import Outcome, Output, Translation, UpstreamRequest
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.base import STREAM_TYPE

HEADER: Final = "x-therouter-padding"
STEP: Final = 256
"""Bytes; an event around one token is about 200 with its envelope."""
FIELD_DIALECTS: Final = frozenset({"openai_chat", "openai_responses"})
_FILL: Final = b"x" * STEP
_DELTA: Final = b'"delta":'
_FIELD: Final = b'"obfuscation":'


def pad_frame(frame: bytes, *, has_field: bool) -> bytes:
    """A frame without its blank line -> the same with padding and blank line."""
    if has_field and _FIELD in frame:
        return frame + b"\n\n"
    if has_field and _DELTA in frame and frame.endswith(b"}"):
        begun = b'%b,%b"' % (frame[:-1], _FIELD)
        return b'%b%b"}\n\n' % (begun, _FILL[: -(len(begun) + 4) % STEP])
    return b": %b\n\n%b\n\n" % (_FILL[: -(len(frame) + 6) % STEP], frame)


class PaddedStream:
    """A `Translation` whose client gets padded frames.

    Args:
        translation: makes them.
        dialect: what the client speaks.
    """

    def __init__(self, translation: Translation, dialect: str) -> None:
        self._translation = translation
        self._has_field = dialect in FIELD_DIALECTS

    @property
    def answer(self) -> Output | None:
        """A conversation always asks the provider."""
        return self._translation.answer

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        return self._translation.upstream

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters."""
        return self._translation.warnings

    @property
    def content_type(self) -> str:
        """Of the client's response."""
        return self._translation.content_type

    @property
    def usage(self) -> Usage:
        """Cumulative so far."""
        return self._translation.usage

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        return self._translation.outcome

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the upstream's answer."""
        self._translation.start(status, headers)

    def receive_data(self, data: bytes) -> Output:
        """The next bytes of the upstream's answer."""
        return self._pad(self._translation.receive_data(data))

    def receive_eof(self) -> Output:
        """The upstream's answer is over."""
        return self._pad(self._translation.receive_eof())

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed."""
        return self._pad(self._translation.fail(failure))

    def _pad(self, output: Output) -> Output:
        if not output.data and not output.final:
            return output
        return Output(self._frames(output.data), output.semantic, self._frames(output.final), output.ended)

    def _frames(self, data: bytes) -> bytes:
        if not data:
            return data
        if self.content_type != STREAM_TYPE:
            return data + b" " * (-len(data) % STEP)
        *frames, rest = data.split(b"\n\n")
        return b"".join(pad_frame(frame, has_field=self._has_field) for frame in frames) + rest

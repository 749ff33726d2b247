"""The façade of translation: one call makes the upstream request and the machine that turns its answer around.

    translation = translate(dialect="openai_chat", operation="chat", upstream=UpstreamTarget(...), body=..., ...)
    send(translation.upstream)
    translation.start(status, headers)
    output = translation.receive_data(data)        # as often as bytes arrive, until output.ended
    output = translation.receive_eof()             # or fail(FailureClass.TIMEOUT)
    translation.outcome                            # usage, failure, finish reason

Two ways through it
    pass-through  the dialect is the upstream's own format: bytes are forwarded frame by frame, a decoder only observes
    re-encode     parse -> build_request -> decoder -> events -> encoder

Base addresses end where the path begins: OpenAI-compatible `https://host/v1`, Anthropic `https://host/v1`, Gemini
`https://host/v1beta`, Vertex `https://host/v1/projects/P/locations/L/publishers/google`, Bedrock `https://host`,
Cohere `https://host/v2`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.translation.calls import Call, Estimate, counts_here
from handlers.translation.canonical.attempt import Asked, Outcome, Output, Translation, UpstreamRequest, UpstreamTarget
from handlers.translation.canonical.bound_material import leave_out
from handlers.translation.conversation import Conversation
from handlers.translation.padding import PaddedStream
from handlers.translation.registry import ADAPTERS, DIALECTS
from handlers.translation.streamed_audio import StreamedAudio, streams_audio

__all__ = ["Outcome", "Output", "Translation", "UpstreamRequest", "UpstreamTarget", "begin", "translate"]


def translate(
    *,
    dialect: str,
    operation: str,
    upstream: UpstreamTarget,
    body: bytes,
    content_type: str,
    target: str,
    client_headers: Mapping[str, str],
    public_model: str,
    stream: bool,
    stateless: bool,
    output_tokens_max: int,
    upstream_stream: bool,
    now_s: int,
    response_id: str,
) -> Translation:
    """Begin one attempt.

    Args:
        dialect: what the client speaks: openai_chat, openai_responses, anthropic_messages, google_generate, google_interactions,
            openai_completions; of no consequence for operations that have one format only.
        operation: chat, embeddings, rerank, moderations, images, speech, transcriptions, count_tokens.
        upstream: the endpoint to call.
        body: the client's body, untouched.
        content_type: of that body.
        target: the client's request target, for dialects that put the model or the method there.
        client_headers: allow-listed protocol headers, names in lower case (anthropic-version, anthropic-beta).
        public_model: the model name that the client shall see.
        stream: the client wants a stream.
        stateless: force store:false and refuse ids of objects kept by the provider.
        output_tokens_max: clamp of the output cap; 0: as the client asked.
        upstream_stream: call upstream in streaming mode even for a non-streaming client, where the format allows it.
        now_s: Unix seconds, for answers that carry a time.
        response_id: ours, for answers whose provider sent no id.

    Raises:
        InvalidRequest: a field is wrong (400); `param` names it.
        Unprocessable: understood, but this endpoint's format cannot express it (422); `param` names it.
    """
    return begin(
        Asked(
            dialect=dialect,
            operation=operation,
            upstream=upstream,
            body=body,
            content_type=content_type,
            target=target,
            client_headers=client_headers,
            public_model=public_model,
            stream=stream,
            stateless=stateless,
            output_tokens_max=output_tokens_max,
            upstream_stream=upstream_stream,
            now_s=now_s,
            response_id=response_id,
        )
    )


def begin(asked: Asked) -> Translation:
    """Begin one attempt; raises as `translate` does."""
    if asked.kept is not None:
        body, left_out = leave_out(asked.body, asked.kept)
        asked = msgspec.structs.replace(asked, body=body, left_out=left_out, kept=None)
    if asked.operation == "chat" and asked.dialect in DIALECTS and asked.upstream.wire_format in ADAPTERS:
        conversation = Conversation(asked)
        return PaddedStream(conversation, asked.dialect) if conversation.padded else conversation
    if counts_here(asked):
        return Estimate(asked)
    return StreamedAudio(asked) if streams_audio(asked) else Call(asked)

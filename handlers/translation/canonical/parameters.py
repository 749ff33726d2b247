"""Which parameters a wire format takes, and which a request sends: one declaration for adapters, catalogue and planner.

Parameters go by the names that OpenAI's chat completions give them (`reasoning` covers every way to ask for it); a field
that no other format has a word for keeps its own. An adapter drops, and names, what its format is not declared to take:
tests/handlers/translation/canonical/test_parameters.py holds the declaration against what the adapters really do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logprobs", "top_logprobs", "logit_bias",
)  # fmt: skip
OPTIONAL_PARAMETERS = frozenset({
    *SAMPLING, "parallel_tool_calls", "user", "service_tier", "verbosity", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "metadata", "prediction", "image_config", "cache_control", "reasoning_effort",
})  # fmt: skip
"""Parameters of OpenAI's formats that an endpoint may lack; dropping one changes how the answer is drawn, never what was asked."""
BEYOND_OPENAI = frozenset({"top_k", "min_p", "top_a", "repetition_penalty", "cache_control", "image_config"})
"""What OpenAI itself has no word for: sent only where the endpoint understands it (quirk `open_parameters`)."""
REFUSED_BY_THINKERS: Mapping[str, frozenset[str]] = {
    "openai_chat": frozenset({"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"}),
    "openai_responses": frozenset({"temperature", "top_p", "top_logprobs"}),
    "anthropic_messages": frozenset({"temperature", "top_p", "top_k"}),
    "bedrock_converse": frozenset({"temperature", "top_p", "top_k"}),
}
"""Quirk `no_sampling`."""

TAKEN: Mapping[str, frozenset[str]] = {
    "openai_chat": OPTIONAL_PARAMETERS
    | {"stop", "reasoning", "n", "modalities", "audio", "web_search_options"},
    "openai_responses": frozenset({
        "temperature", "top_p", "top_logprobs", "reasoning", "parallel_tool_calls", "service_tier", "verbosity",
    }),
    "anthropic_messages": frozenset({"temperature", "top_p", "top_k", "stop", "reasoning", "parallel_tool_calls"}),
    "gemini": frozenset({
        "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "logprobs", "top_logprobs",
        "stop", "reasoning", "n", "modalities",
    }),
    "bedrock_converse": frozenset({"temperature", "top_p", "top_k", "stop", "reasoning"}),
    "cohere": frozenset({
        "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "logprobs", "stop", "reasoning",
    }),
}  # fmt: skip
"""Wire format -> what reaches the provider when the request is written anew for it."""
_RELAYED_TOO: Mapping[str, frozenset[str]] = {
    "openai_responses": frozenset({
        "user", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "metadata",
    }),
}  # fmt: skip
"""What reaches it besides when the client speaks the format itself."""
RELAYED = frozenset({
    ("openai_chat", "openai_chat"), ("anthropic_messages", "anthropic_messages"),
    ("openai_responses", "openai_responses"), ("google_generate", "gemini"),
})  # fmt: skip
"""(dialect, wire format) that are one format: what is not a parameter of OpenAI's chat passes as it came."""


def unknown_sampling(wire_format: str) -> tuple[str, ...]:
    """Sampling parameters that a format has no word for."""
    return tuple(name for name in SAMPLING if name not in TAKEN[wire_format])


def taken(
    wire_format: str, quirks: Iterable[str] = (), lacks: frozenset[str] = frozenset(), *, relayed: bool = False
) -> frozenset[str]:
    """What an endpoint takes.

    Args:
        wire_format: the adapter.
        quirks: of the endpoint and its provider.
        lacks: what its provider is known to refuse although the format has it.
        relayed: the client speaks the same format.
    """
    found = TAKEN.get(wire_format, frozenset()) - lacks
    if relayed:
        found |= _RELAYED_TOO.get(wire_format, frozenset()) - lacks
    if "open_parameters" not in quirks and wire_format == "openai_chat":
        found -= BEYOND_OPENAI
    return found - REFUSED_BY_THINKERS.get(wire_format, frozenset()) if "no_sampling" in quirks else found


def lacking(dialect: str, wire_format: str, sent: frozenset[str], takes: frozenset[str]) -> frozenset[str]:
    """Of the parameters `sent`, those that an endpoint which `takes` these would not honour."""
    missing = sent - takes
    if (dialect, wire_format) not in RELAYED:
        return missing
    if dialect.startswith("openai"):
        missing &= OPTIONAL_PARAMETERS | {"reasoning"}
        return missing - _RELAYED_TOO.get(wire_format, frozenset())
    return missing & {"reasoning"}


NO_PARAMETERS = frozenset({
    "model", "models", "route", "provider", "plugins", "transforms", "usage", "session_id", "trace", "debug", "fallbacks",
    "messages", "input", "contents", "prompt", "system", "instructions", "systemInstruction", "system_instruction",
    "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "tools", "tool_choice",
    "toolConfig", "tool_config", "response_format", "output_format", "store", "metadata", "user", "prompt_cache_key",
    "client_metadata", "previous_response_id", "conversation",
})  # fmt: skip
"""Top-level fields that say what is asked, or speak to the gateway; all others are parameters of the model."""
DEFAULT_TIERS = frozenset({"auto", "default"})
_NULL = b"null"
_Top = dict[str, msgspec.Raw]
_decode_top = msgspec.json.Decoder(_Top).decode
_decode = msgspec.json.Decoder().decode


def sent_parameters(dialect: str, body: bytes) -> frozenset[str]:
    """The parameters of the model that a request sends. The body is a JSON object that has been checked before."""
    top = {name: value for name, value in _decode_top(body).items() if bytes(value) != _NULL}
    return _READERS.get(dialect, _openai_chat)(top)


def _others(top: _Top, *named: str) -> set[str]:
    """Fields that go by their own names."""
    return {name for name in top if name not in NO_PARAMETERS and name not in named}


def _openai_chat(top: _Top) -> frozenset[str]:
    found = _others(top, "reasoning_effort", "include_reasoning", "service_tier", "n", "modalities")
    if top.keys() & {"reasoning_effort", "include_reasoning"}:
        found.add("reasoning")
    if "service_tier" in top and _decode(top["service_tier"]) not in DEFAULT_TIERS:
        found.add("service_tier")
    if "n" in top and _decode(top["n"]) != 1:
        found.add("n")
    if "modalities" in top and _decode(top["modalities"]) != ["text"]:
        found.add("modalities")
    return frozenset(found)


_ANTHROPICS_OWN = frozenset({"service_tier", "cache_control"})
"""Their words mean something else than OpenAI's."""


def _anthropic_messages(top: _Top) -> frozenset[str]:
    found = _others(top, "thinking", "stop_sequences", "output_config", *_ANTHROPICS_OWN)
    found |= {f"anthropic.{name}" for name in top.keys() & _ANTHROPICS_OWN}
    if "thinking" in top or b'"effort"' in bytes(top.get("output_config", b"")):
        found.add("reasoning")
    if "stop_sequences" in top:
        found.add("stop")
    if b'"disable_parallel_tool_use":true' in bytes(top.get("tool_choice", b"")).replace(b" ", b""):
        found.add("parallel_tool_calls")
    return frozenset(found)


def _openai_responses(top: _Top) -> frozenset[str]:
    found = _others(top, "text", "include", "truncation", "service_tier", "top_logprobs")
    if b'"verbosity"' in bytes(top.get("text", b"")):
        found.add("verbosity")
    if "service_tier" in top and _decode(top["service_tier"]) not in DEFAULT_TIERS:
        found.add("service_tier")
    if "include" in top and set(_decode(top["include"])) - {"reasoning.encrypted_content"}:
        found.add("include")
    if "truncation" in top and _decode(top["truncation"]) != "disabled":
        found.add("truncation")
    if "top_logprobs" in top and _decode(top["top_logprobs"]):
        found.add("top_logprobs")
    return frozenset(found) | _foreign_tools(top, "function")


_GOOGLE = {
    "temperature": "temperature", "topP": "top_p", "topK": "top_k", "candidateCount": "n", "stopSequences": "stop",
    "seed": "seed", "presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs", "logprobs": "top_logprobs", "thinkingConfig": "reasoning",
    "responseModalities": "modalities",
}  # fmt: skip
_GOOGLE_SHAPES = frozenset({"maxOutputTokens", "responseMimeType", "responseSchema", "responseJsonSchema"})
"""They say what is asked."""


def _google_generate(top: _Top) -> frozenset[str]:
    found = _others(top, "generationConfig", "generation_config", "safetySettings", "safety_settings")
    if top.keys() & {"safetySettings", "safety_settings"}:
        found.add("safetySettings")
    config = _decode(top.get("generationConfig") or top.get("generation_config") or b"{}")
    for name, value in config.items() if isinstance(config, dict) else ():
        camel = _camel(name)
        if value is None or camel in _GOOGLE_SHAPES or (camel, value) == ("candidateCount", 1):
            continue
        if camel != "responseModalities" or set(value) != {"TEXT"}:
            found.add(_GOOGLE.get(camel, f"generationConfig.{camel}"))
    return frozenset(found) | _foreign_tools(top, "functionDeclarations")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _foreign_tools(top: _Top, own: str) -> set[str]:
    """Tools that the provider runs itself, as `tools.<type>`."""
    rows = _decode(top["tools"]) if "tools" in top else []
    if not isinstance(rows, list):
        return set()
    if own == "function":
        types = {str(row.get("type")) for row in rows if isinstance(row, dict)}
    else:
        types = {_camel(name) for row in rows if isinstance(row, dict) for name in row}
    return {f"tools.{name}" for name in types - {own}}


_READERS: Mapping[str, Callable[[_Top], frozenset[str]]] = {
    "anthropic_messages": _anthropic_messages,
    "openai_responses": _openai_responses,
    "google_generate": _google_generate,
}

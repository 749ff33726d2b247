"""The fields of a Gemini request. Google's JSON takes every name in snake_case and camelCase; here it becomes camelCase."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from handlers.errors import InvalidRequest
from handlers.translation.canonical.plain_messages import MESSAGES_MAX
from handlers.translation.dialects.reading import (
    CHOICES_MAX,
    OUTPUT_TOKENS_MAX,
    check_length,
    check_range,
    kept_elsewhere,
    read_stops,
)

# Below these names keys belong to the client, not to Google.
_CLIENTS_OWN = frozenset({
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels",
})  # fmt: skip
# Lists that Google also takes as a single object.
_REPEATED = frozenset({"contents", "parts", "tools", "functionDeclarations"})
_UNDERSCORE = re.compile(r"_([a-z0-9])")
DEPTH_MAX = 32


class _Camel(msgspec.Struct, rename="camel"):
    pass


class BlobField(_Camel):
    """`inlineData`."""

    mime_type: str
    data: str


class FileField(_Camel):
    """`fileData`."""

    file_uri: str
    mime_type: str = ""


class FunctionCallField(_Camel):
    """`functionCall`."""

    name: str
    id: str | None = None
    args: Any = None


class FunctionResponseField(_Camel):
    """`functionResponse`."""

    name: str
    id: str | None = None
    response: Any = None


class PartField(_Camel):
    """One part."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: BlobField | None = None
    file_data: FileField | None = None
    function_call: FunctionCallField | None = None
    function_response: FunctionResponseField | None = None
    executable_code: Any = None
    code_execution_result: Any = None


class ContentField(_Camel):
    """One turn."""

    parts: list[PartField] = []
    role: str | None = None


class FunctionField(_Camel):
    """A function declaration."""

    name: str
    description: str | None = None
    parameters: Any = None
    parameters_json_schema: Any = None


class CallingField(_Camel):
    """`functionCallingConfig`."""

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfigField(_Camel):
    """`toolConfig`."""

    function_calling_config: CallingField | None = None


class ThinkingField(_Camel):
    """`thinkingConfig`."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class ConfigField(_Camel):
    """`generationConfig`."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: Any = None
    response_json_schema: Any = None
    response_modalities: list[str] | None = None
    thinking_config: ThinkingField | None = None


class GenerateFields(_Camel):
    """The body."""

    contents: ContentField | list[ContentField]
    system_instruction: ContentField | str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: ToolConfigField | None = None
    generation_config: ConfigField | None = None
    safety_settings: Any = None
    cached_content: str | None = None
    labels: Any = None
    model: str | None = None
    generate_content_request: Any = None


KNOWN_FIELDS = frozenset(GenerateFields.__struct_encode_fields__)
_ANY = msgspec.json.Decoder()


def camel_body(body: bytes) -> dict[str, Any]:
    """The decoded body with Google's names in camelCase.

    Raises:
        InvalidRequest: it is no JSON object, or nested too deep.
    """
    try:
        decoded = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON; send one UTF-8 JSON object.") from None
    if not isinstance(decoded, dict):
        raise InvalidRequest("The body must be a JSON object.")
    renamed = _camel(decoded, 0)
    return renamed if isinstance(renamed, dict) else {}


def _camel(value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise InvalidRequest("The body is nested too deep.")
    if isinstance(value, list):
        return [_camel(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, inner in value.items():
        name = _UNDERSCORE.sub(lambda found: found[1].upper(), key)
        told = inner if name in _CLIENTS_OWN else _camel(inner, depth + 1)
        fields[name] = [told] if name in _REPEATED and isinstance(told, dict) else told
    return fields


def check_fields(fields: GenerateFields) -> None:
    """Ranges and sizes, after the types.

    Raises:
        InvalidRequest: naming the field and the limit.
    """
    if isinstance(fields.contents, list):
        check_length("contents", len(fields.contents), MESSAGES_MAX, 1)
    config = fields.generation_config
    if config is None:
        return
    check_range("generationConfig.temperature", config.temperature, 0, 2)
    check_range("generationConfig.topP", config.top_p, 0, 1)
    check_range("generationConfig.topK", config.top_k, 0, 1_000_000)
    check_range("generationConfig.candidateCount", config.candidate_count, 1, CHOICES_MAX)
    check_range("generationConfig.maxOutputTokens", config.max_output_tokens, 1, OUTPUT_TOKENS_MAX)
    read_stops("generationConfig.stopSequences", config.stop_sequences)


def refuse_state(fields: GenerateFields) -> None:
    """Refuse names of objects that the provider keeps.

    Raises:
        InvalidRequest: naming the field.
    """
    if fields.cached_content:
        raise kept_elsewhere("cachedContent")
    contents = fields.contents if isinstance(fields.contents, list) else [fields.contents]
    for number, content in enumerate(contents):
        for place, part in enumerate(content.parts):
            uri = part.file_data.file_uri if part.file_data else ""
            if uri.startswith(("gs://", "files/")) or "generativelanguage.googleapis.com/" in uri:
                raise kept_elsewhere(f"contents[{number}].parts[{place}].fileData.fileUri")

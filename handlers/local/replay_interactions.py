"""A canonical request written down as a Google Interactions request, for replaying what was recorded in other formats.

No provider is asked in this format, so no adapter writes it; what it cannot say is refused by its name, as adapters do.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.canonical.proof import mark_proof
from handlers.translation.canonical.request import (
    CanonicalRequest,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from handlers.translation.dialects.anthropic_messages import arguments_object

_LEVELS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def write_interaction(request: CanonicalRequest) -> bytes:
    """The body; raises Unprocessable for several choices and for turns that are no steps."""
    if request.choices > 1:
        raise Unprocessable("n: an interaction has one answer.", param="n")
    system = [
        part.text for turn in request.messages if _is_system(turn) for part in turn.parts if isinstance(part, Text)
    ]
    steps = [step for turn in request.messages if not _is_system(turn) for step in _steps(turn)]
    body: dict[str, Any] = {"model": "m", "store": False, "stream": request.stream, "input": steps or "\n".join(system)}
    if system and steps:
        body["system_instruction"] = "\n".join(system)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    shape = request.response_format
    if shape is not None and shape.kind != "text":
        schema = {"schema": msgspec.json.decode(bytes(shape.schema))} if shape.schema is not None else {}
        body["response_format"] = {"type": "text", "mime_type": "application/json", **schema}
    config = _config(request)
    return msgspec.json.encode(body | ({"generation_config": config} if config else {}))


def _is_system(turn: Message) -> bool:
    return turn.role in {"system", "developer"}


def _config(request: CanonicalRequest) -> dict[str, Any]:
    sampling, choice, control = request.sampling, request.tool_choice, request.reasoning
    config: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_output_tokens": request.output_tokens_max,
        "stop_sequences": list(request.stop) or None,
    }
    if control is not None:
        config["thinking_level"] = _LEVELS.get(control.effort)
        config["thinking_summaries"] = "none" if control.exclude else "auto"
    if choice is not None and choice.mode == "named":
        config["tool_choice"] = {"allowed_tools": {"mode": "any", "tools": [choice.name]}}
    elif choice is not None:
        config["tool_choice"] = _CHOICES[choice.mode]
    return {name: value for name, value in config.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    fields = {"type": "function", "name": tool.name, "description": tool.description}
    return fields | ({"parameters": tool.parameters} if tool.parameters is not None else {})


def _steps(turn: Message) -> list[dict[str, Any]]:
    """The steps of one turn: neighbouring pieces of content share one."""
    steps: list[dict[str, Any]] = []
    kind = "model_output" if turn.role == "assistant" else "user_input"
    for part in turn.parts:
        piece = _content(part)
        if piece is None:
            steps.append(_step(part))
        elif steps and steps[-1]["type"] == kind:
            steps[-1]["content"].append(piece)
        else:
            steps.append({"type": kind, "content": [piece]})
    return steps


def _content(part: Part) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Media():
            where = {"data": part.data} if part.data else {"uri": part.url}
            return {"type": part.kind, **where} | ({"mime_type": part.media_type} if part.media_type else {})
        case _:
            return None


def _step(part: Part) -> dict[str, Any]:
    match part:
        case ToolCall():
            call = {"id": part.id, "name": part.name, "arguments": arguments_object(part.arguments)}
            return {"type": "function_call", **call}
        case ToolResult():
            result = [piece for inner in part.parts if (piece := _content(inner)) is not None]
            return {"type": "function_result", "call_id": part.call_id, "name": part.name, "result": result or ""}
        case Reasoning():
            proof = mark_proof(part.data or part.signature, part.origin, "google")
            summary = [{"type": "text", "text": part.text}] if part.text else []
            return {"type": "thought", "summary": summary} | ({"signature": proof} if proof else {})
        case _:
            raise Unprocessable("input: an interaction has no such step.", param="input")

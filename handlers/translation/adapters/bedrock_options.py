"""Everything of a Converse request but its messages: inference config, tools, thinking, structured answers."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.anthropic_options import ANSWER_TOOL, EFFORTS, JSON_INSTRUCTION
from handlers.translation.adapters.openai_parameters import THINKING_TOKENS_MIN, thinking_tokens
from handlers.translation.adapters.refusals import refuse_many_answers, refuse_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import DEFAULT_TIERS, unknown_sampling
from handlers.translation.canonical.request import CanonicalRequest, ToolCall

_EMPTY_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
_UNKNOWN_TO_BEDROCK = unknown_sampling("bedrock_converse")


def option_fields(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str], warnings: list[str]
) -> str:
    """Fill the body's options, naming what had to be dropped; the name of our answer tool, if one is in it."""
    refuse_many_answers(request)
    _tools(body, request, target, names, warnings)
    config = _limits(request, warnings)
    extra: dict[str, Any] = {}
    _thinking(config, extra, body, request, target, warnings)
    _sampling(config, extra, request, target, warnings)
    if config:
        body["inferenceConfig"] = config
    if extra:
        body["additionalModelRequestFields"] = extra
    warnings += [f"dropped:{name}" for name in (*request.extensions, *request.unknown)]
    warnings += [f"dropped:{name}" for name in ("user", "verbosity") if getattr(request, name)]
    warnings += ["dropped:service_tier"] if request.service_tier not in {"", *DEFAULT_TIERS} else []
    return _response_format(body, request, target, warnings)


def _limits(request: CanonicalRequest, warnings: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.output_tokens_max is not None:
        config["maxTokens"] = request.output_tokens_max
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        config["stopSequences"] = stops
    warnings += ["dropped:stop"] if len(stops) < len(request.stop) else []
    warnings += [f"dropped:{name}" for name in _UNKNOWN_TO_BEDROCK if getattr(request.sampling, name) is not None]
    return config


def _sampling(
    config: dict[str, Any],
    extra: dict[str, Any],
    request: CanonicalRequest,
    target: UpstreamTarget,
    warnings: list[str],
) -> None:
    """Temperature ends at 1; thinking and the newest models take no sampling at all."""
    sampling = request.sampling
    if "no_sampling" in target.quirks or "thinking" in extra:
        warnings += [
            f"dropped:{name}" for name in ("temperature", "top_p", "top_k") if getattr(sampling, name) is not None
        ]
        return
    if sampling.temperature is not None:
        config["temperature"] = min(sampling.temperature, 1)
        warnings += ["adapted:temperature"] if sampling.temperature > 1 else []
    if sampling.top_p is not None:
        config["topP"] = sampling.top_p
    if sampling.top_k is not None:
        extra["top_k"] = sampling.top_k


def _tools(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str], warnings: list[str]
) -> None:
    """Tools; a history with calls needs them even where the client sends none, or forbids their use."""
    called = [part.name for message in request.messages for part in message.parts if isinstance(part, ToolCall)]
    choice = request.tool_choice
    forbidden = choice is not None and choice.mode == "none"
    if not called and (forbidden or not request.tools):
        return
    refuse_tools(target)
    specs: list[dict[str, Any]] = []
    for tool in request.tools:
        spec: dict[str, Any] = {"name": names.get(tool.name, tool.name)}
        if tool.description:
            spec["description"] = tool.description
        spec["inputSchema"] = {"json": tool.parameters or _EMPTY_SCHEMA}
        specs.append({"toolSpec": spec})
        if tool.cache is not None:
            specs.append({"cachePoint": {"type": "default"}})
    if not request.tools:
        unique = dict.fromkeys(names.get(name, name) for name in called)
        specs = [{"toolSpec": {"name": name, "inputSchema": {"json": _EMPTY_SCHEMA}}} for name in unique]
    config: dict[str, Any] = {"tools": specs}
    if choice is not None and choice.mode == "named":
        config["toolChoice"] = {"tool": {"name": names.get(choice.name, choice.name)}}
    elif choice is not None and choice.mode == "required":
        config["toolChoice"] = {"any": {}}
    elif forbidden:
        warnings.append("adapted:tool_choice")
    if request.parallel_tool_calls is False:
        warnings.append("dropped:parallel_tool_calls")
    body["toolConfig"] = config


def _thinking(
    config: dict[str, Any],
    extra: dict[str, Any],
    body: dict[str, Any],
    request: CanonicalRequest,
    target: UpstreamTarget,
    warnings: list[str],
) -> None:
    """Claude's thinking in Bedrock's clothes: by effort where the model adapts, else by a budget below the output cap."""
    control = request.reasoning
    if control is None or control.enabled is False or control.effort == "none":
        return
    cap = config.get("maxTokens") or target.output_tokens_max
    budget = thinking_tokens(control, cap)
    budget = min(budget, cap - 1) if cap else budget
    forced = "toolChoice" in body.get("toolConfig", {})
    if target.reasoning and "adaptive_thinking" in target.quirks and not forced:
        extra["thinking"] = {"type": "adaptive"}
        if control.effort:
            extra["output_config"] = {"effort": EFFORTS.get(control.effort, "medium")}
        return
    if not target.reasoning or budget < THINKING_TOKENS_MIN or forced or "no_thinking_budget" in target.quirks:
        warnings.append("dropped:reasoning")
        return
    config.setdefault("maxTokens", cap or budget * 2)
    extra["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _response_format(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, warnings: list[str]
) -> str:
    """Structured output natively, by a tool that must be called, or by asking for it."""
    wanted = request.response_format
    if wanted is None:
        return ""
    if wanted.kind == "json_object" or wanted.schema is None:
        body.setdefault("system", []).append({"text": JSON_INSTRUCTION})
        warnings.append("adapted:response_format")
        return ""
    if target.json_schema:
        schema = {"schema": bytes(wanted.schema).decode(), "name": wanted.name}
        text_format = {"type": "json_schema", "structure": {"jsonSchema": schema}}
        body["outputConfig"] = {"textFormat": text_format}
        return ""
    if request.tools:
        raise Unprocessable(
            "response_format: this endpoint cannot combine a JSON schema with tools.", param="response_format"
        )
    spec = {"name": ANSWER_TOOL, "description": "Gives the answer.", "inputSchema": {"json": wanted.schema}}
    body["toolConfig"] = {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": ANSWER_TOOL}}}
    return ANSWER_TOOL

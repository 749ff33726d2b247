"""Everything of an Anthropic request but its messages: caps, sampling, tools, thinking, structured answers."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.openai_parameters import THINKING_TOKENS_MIN, thinking_tokens
from handlers.translation.adapters.refusals import refuse_many_answers, refuse_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import DEFAULT_TIERS, unknown_sampling
from handlers.translation.canonical.request import CacheControl, CanonicalRequest, ReasoningControl, Tool

OUTPUT_TOKENS_DEFAULT = 8_192
"""The output cap where neither the client nor the catalogue names one."""
ANSWER_TOOL = "respond_in_json"
"""Stands in for structured output where the endpoint has none; never shown to the client."""
_EMPTY_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
JSON_INSTRUCTION = "Answer with one JSON object and nothing else."
"""Asks for JSON where the endpoint knows no other way."""
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_UNKNOWN_TO_ANTHROPIC = unknown_sampling("anthropic_messages")


def option_fields(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str], warnings: list[str]
) -> str:
    """Fill the body's options, naming what had to be dropped; the name of our answer tool, if one is in it."""
    refuse_many_answers(request)
    body["max_tokens"] = request.output_tokens_max or target.output_tokens_max or OUTPUT_TOKENS_DEFAULT
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        body["stop_sequences"] = stops
    if len(stops) < len(request.stop):
        warnings.append("dropped:stop")
    _tools(body, request, target, names)
    _thinking(body, request.reasoning, target, warnings)
    _sampling(body, request, target, warnings)
    if request.user:
        body["metadata"] = {"user_id": request.user}
    warnings += [f"dropped:{name}" for name in (*request.extensions, *request.unknown)]
    warnings += ["dropped:service_tier"] if request.service_tier not in {"", *DEFAULT_TIERS} else []
    warnings += ["dropped:verbosity"] if request.verbosity else []
    return _response_format(body, request, target, warnings)


def _tools(body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> None:
    if not request.tools:
        return
    refuse_tools(target)
    body["tools"] = [_tool(tool, names) for tool in request.tools]
    choice = request.tool_choice
    fields: dict[str, Any] = {"type": "auto"}
    if choice is not None and choice.mode == "named":
        fields = {"type": "tool", "name": names.get(choice.name, choice.name)}
    elif choice is not None:
        fields = {"type": "any" if choice.mode == "required" else choice.mode}
    if request.parallel_tool_calls is False and fields["type"] != "none":
        fields["disable_parallel_tool_use"] = True
    if choice is not None or len(fields) > 1:
        body["tool_choice"] = fields


def _tool(tool: Tool, names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": names.get(tool.name, tool.name)}
    if tool.description:
        fields["description"] = tool.description
    fields["input_schema"] = tool.parameters or _EMPTY_SCHEMA
    if tool.strict:
        fields["strict"] = True
    return fields | _cache(tool.cache)


def _cache(cache: CacheControl | None) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral", "ttl": cache.ttl}} if cache else {}


def _thinking(
    body: dict[str, Any], control: ReasoningControl | None, target: UpstreamTarget, warnings: list[str]
) -> None:
    """Thinking by effort where the model adapts, by a budget below the output cap where it counts."""
    if control is None:
        return
    if control.enabled is False or control.effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    if not target.reasoning:
        warnings.append("dropped:reasoning")
        return
    if "adaptive_thinking" in target.quirks:
        body["thinking"] = {"type": "adaptive"}
        if control.effort:
            body["output_config"] = {"effort": EFFORTS.get(control.effort, "medium")}
        return
    budget = min(thinking_tokens(control, body["max_tokens"]), body["max_tokens"] - 1)
    forced = body.get("tool_choice", {}).get("type") in {"any", "tool"}
    if budget < THINKING_TOKENS_MIN or forced:
        warnings.append("dropped:reasoning")
        return
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _sampling(body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, warnings: list[str]) -> None:
    """Temperature ends at 1; thinking and the newest models take no sampling at all."""
    sampling = request.sampling
    warnings += [f"dropped:{name}" for name in _UNKNOWN_TO_ANTHROPIC if getattr(sampling, name) is not None]
    fixed = "no_sampling" in target.quirks or body.get("thinking", {}).get("type") in {"enabled", "adaptive"}
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if fixed or (name == "top_k" and value < 0):
            warnings.append(f"dropped:{name}")
        elif name == "temperature" and value > 1:
            body[name] = 1
            warnings.append("adapted:temperature")
        else:
            body[name] = value


def _response_format(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, warnings: list[str]
) -> str:
    """Structured output natively, by a tool that must be called, or by asking for it."""
    wanted = request.response_format
    if wanted is None:
        return ""
    schema = wanted.schema
    if wanted.kind == "json_object" or schema is None:
        body.setdefault("system", []).append({"type": "text", "text": JSON_INSTRUCTION})
        warnings.append("adapted:response_format")
        return ""
    if target.json_schema:
        output_format = {"type": "json_schema", "schema": schema}
        body["output_config"] = body.get("output_config", {}) | {"format": output_format}
        return ""
    if request.tools:
        raise Unprocessable(
            "response_format: this endpoint cannot combine a JSON schema with tools.", param="response_format"
        )
    if body.get("thinking", {}).get("type") == "enabled":
        del body["thinking"]
        warnings.append("dropped:reasoning")
    tool = {"name": ANSWER_TOOL, "description": wanted.description or "Gives the answer.", "input_schema": schema}
    body["tools"] = [tool]
    body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    return ANSWER_TOOL

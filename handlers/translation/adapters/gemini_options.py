"""Everything of a Gemini request but its contents: generation config, tools, thinking."""

from __future__ import annotations

from typing import Any

from handlers.errors import Unprocessable
from handlers.translation.adapters.gemini_schema import clean_schema
from handlers.translation.adapters.openai_parameters import thinking_tokens
from handlers.translation.adapters.refusals import refuse_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import DEFAULT_TIERS, unknown_sampling
from handlers.translation.canonical.request import CanonicalRequest, ReasoningControl

STOPS_MAX = 5
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE", "named": "ANY"}
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_UNKNOWN_TO_GEMINI = unknown_sampling("gemini")
_LEVELS = {"minimal": "LOW", "low": "LOW", "medium": "HIGH", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}


def tool_fields(request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    """`tools` and `toolConfig`."""
    if not request.tools:
        return {}
    refuse_tools(target)
    declarations = []
    for tool in request.tools:
        declaration: dict[str, Any] = {"name": names.get(tool.name, tool.name)}
        if tool.description:
            declaration["description"] = tool.description
        if tool.parameters is not None:
            schema = clean_schema(tool.parameters, f"{tool.at}.function.parameters")
            if schema.get("properties"):
                declaration["parameters"] = schema
        declarations.append(declaration)
    fields: dict[str, Any] = {"tools": [{"functionDeclarations": declarations}]}
    choice = request.tool_choice
    if choice is not None:
        config: dict[str, Any] = {"mode": _MODES[choice.mode]}
        if choice.mode == "named":
            config["allowedFunctionNames"] = [names.get(choice.name, choice.name)]
        fields["toolConfig"] = {"functionCallingConfig": config}
    return fields


def generation_config(request: CanonicalRequest, target: UpstreamTarget, warnings: list[str]) -> dict[str, Any]:
    """`generationConfig`, naming what had to be dropped."""
    config: dict[str, Any] = {}
    for name, theirs in _SAMPLING.items():
        value = getattr(request.sampling, name)
        if value is not None:
            config[theirs] = value
    warnings += [f"dropped:{name}" for name in _UNKNOWN_TO_GEMINI if getattr(request.sampling, name) is not None]
    if request.output_tokens_max is not None:
        config["maxOutputTokens"] = request.output_tokens_max
    if request.stop:
        config["stopSequences"] = list(request.stop[:STOPS_MAX])
        warnings += ["adapted:stop"] if len(request.stop) > STOPS_MAX else []
    if request.choices > 1:
        config["candidateCount"] = request.choices
    if request.modalities:
        config["responseModalities"] = [modality.upper() for modality in request.modalities]
    if request.parallel_tool_calls is False:
        warnings.append("dropped:parallel_tool_calls")
    _thinking(config, request.reasoning, target, warnings)
    _response_format(config, request, target)
    warnings += [f"dropped:{name}" for name in (*request.extensions, *request.unknown)]
    warnings += [f"dropped:{name}" for name in ("user", "verbosity") if getattr(request, name)]
    warnings += ["dropped:service_tier"] if request.service_tier not in {"", *DEFAULT_TIERS} else []
    return config


def _thinking(
    config: dict[str, Any], control: ReasoningControl | None, target: UpstreamTarget, warnings: list[str]
) -> None:
    if control is None:
        return
    if not target.reasoning:
        warnings.append("dropped:reasoning")
        return
    thinking: dict[str, Any] = {"includeThoughts": not control.exclude}
    off = control.enabled is False or control.effort == "none"
    if off and "thinking_level" in target.quirks:
        thinking = {"includeThoughts": False, "thinkingLevel": "LOW"}
        warnings.append("adapted:reasoning")
    elif off:
        thinking = {"thinkingBudget": 0}
    elif "thinking_level" in target.quirks:
        thinking["thinkingLevel"] = _LEVELS.get(control.effort, "HIGH")
    else:
        cap = config.get("maxOutputTokens") or target.output_tokens_max
        thinking["thinkingBudget"] = min(thinking_tokens(control, cap), 24_576)
    config["thinkingConfig"] = thinking


def _response_format(config: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget) -> None:
    wanted = request.response_format
    if wanted is None:
        return
    if request.tools and "json_excludes_tools" in target.quirks:
        raise Unprocessable(
            "response_format: this endpoint cannot combine structured output with tools.", param="response_format"
        )
    config["responseMimeType"] = "application/json"
    if wanted.schema is not None:
        config["responseSchema"] = clean_schema(wanted.schema, "response_format.json_schema.schema")

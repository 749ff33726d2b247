"""Which parameters an OpenAI-compatible endpoint takes, and under which names it takes the control of reasoning."""

from __future__ import annotations

from typing import Any

from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import BEYOND_OPENAI, OPTIONAL_PARAMETERS, REFUSED_BY_THINKERS
from handlers.translation.canonical.request import ReasoningControl

_EFFORT_SHARE = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 1.0}
GROQS_DEFAULT_TIER = "on_demand"
"""Groq's word for the tier that everybody gets who names none; nobody else knows it."""
THINKING_TOKENS_MIN = 1_024
THINKING_TOKENS_DEFAULT = 32_000


def drop_parameters(body: dict[str, Any], target: UpstreamTarget) -> list[str]:
    """Remove what the endpoint does not take; warnings that name each."""
    dropped = [name for name in body if name in OPTIONAL_PARAMETERS and not _takes(name, target)]
    for name in dropped:
        del body[name]
    return [f"dropped:{name}" for name in dropped]


def _takes(name: str, target: UpstreamTarget) -> bool:
    if "no_sampling" in target.quirks and name in REFUSED_BY_THINKERS["openai_chat"]:
        return False
    if target.parameters:
        return name in target.parameters
    return name not in BEYOND_OPENAI or "open_parameters" in target.quirks


def reasoning_fields(control: ReasoningControl | None, target: UpstreamTarget) -> dict[str, Any]:
    """The control of reasoning in the provider's words."""
    if control is None:
        return {}
    wanted = control.enabled is not False and control.effort != "none"
    if "enable_thinking" in target.quirks:  # DashScope, SiliconFlow
        fields: dict[str, Any] = {"enable_thinking": wanted}
        if wanted and (control.max_tokens or control.effort):
            fields["thinking_budget"] = thinking_tokens(control, target.output_tokens_max)
        return fields
    if "thinking_type" in target.quirks:  # Volcengine Ark, Zhipu, DeepSeek, Moonshot
        return {"thinking": {"type": "enabled" if wanted else "disabled"}}
    if "reasoning_object" in target.quirks:  # OpenRouter
        named = {"effort": control.effort or None, "max_tokens": control.max_tokens, "enabled": control.enabled}
        return {"reasoning": {name: value for name, value in named.items() if value is not None}}
    effort = control.effort or ("" if control.max_tokens is None and control.enabled is None else "medium")
    if control.enabled is False:
        effort = "none"
    return {"reasoning_effort": effort} if effort else {}


def thinking_tokens(control: ReasoningControl, output_tokens_max: int) -> int:
    """A budget of thinking tokens for formats that count instead of naming an effort."""
    if control.max_tokens:
        return max(control.max_tokens, 1)
    share = _EFFORT_SHARE.get(control.effort, 0.5)
    return max(THINKING_TOKENS_MIN, int((output_tokens_max or THINKING_TOKENS_DEFAULT) * share))

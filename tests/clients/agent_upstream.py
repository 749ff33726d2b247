"""A provider for agents: answers text, and calls the agent's shell when the task asks for it.

It speaks OpenAI's chat format. A task that says `reach-by-shell` gets one call of whatever tool of the agent runs commands;
once a tool has answered, the provider says so and stops.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tests.replay import apt_upstream

SAYS = "The router says hello."
SAW = "The shell has answered."
COMMAND = "echo shell-reached"
_SHELL = re.compile(
    r"^(bash|shell|shell_command|exec_command|run_shell_command|local_shell|run_command)$", re.IGNORECASE
)
_WISH = "reach-by-shell"


def message(request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What to say, and why it ends."""
    turns = request["messages"]
    if turns[-1]["role"] == "tool":
        return {"role": "assistant", "content": SAW}, "stop"
    shell = next((t["function"] for t in request.get("tools") or [] if _SHELL.match(t["function"]["name"])), None)
    wished = any(_WISH in msgspec.json.encode(turn.get("content")).decode() for turn in turns if turn["role"] == "user")
    called = any(turn["role"] == "tool" for turn in turns)
    if shell is not None and wished and not called:
        arguments = msgspec.json.encode(_arguments(shell.get("parameters") or {})).decode()
        call = {"id": "call_shell", "type": "function", "function": {"name": shell["name"], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    if not shell and request.get("tools"):
        return apt_upstream.message(request)
    return {"role": "assistant", "content": SAYS}, "stop"


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    known = schema.get("properties") or {}
    arguments = {name: apt_upstream.example(known.get(name) or {}) for name in schema.get("required") or []}
    for name in ("command", "cmd"):
        if name in known:
            listed = known[name].get("type") == "array"
            arguments[name] = ["bash", "-lc", COMMAND] if listed else COMMAND
    return arguments

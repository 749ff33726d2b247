"""Conversations as Anthropic and Bedrock want them: turns that alternate, begin with the user, and answer every call at once."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import msgspec

from handlers.errors import InvalidRequest, Unprocessable
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import Message, Part, Text, ToolCall, ToolResult

FILLER = "."
"""A conversation that begins with the assistant gets a user turn before it."""


class Turn(NamedTuple):
    """All that one side says before the other does."""

    role: str
    """user | assistant."""
    parts: list[Part]


def split_system(messages: tuple[Message, ...]) -> tuple[list[Text], list[Message]]:
    """All system and developer text in order, blank ones dropped, and the other turns.

    A conversation of nothing but system text is asked as the user's.
    """
    system = [message for message in messages if message.role in {"system", "developer"}]
    others = [message for message in messages if message.role not in {"system", "developer"}]
    if not others and system:
        others = [msgspec.structs.replace(system.pop(), role="user")]
    texts = [part for message in system for part in message.parts if isinstance(part, Text) and part.text.strip()]
    return texts, others


def merge_turns(messages: list[Message], warnings: list[str]) -> list[Turn]:
    """Alternating turns: neighbours of one role are merged, tool results stand first in theirs.

    Raises:
        InvalidRequest: a call without its result, or a result without its call.
    """
    turns: list[Turn] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1].role == role:
            turns[-1].parts.extend(message.parts)
        else:
            turns.append(Turn(role, list(message.parts)))
    if turns and turns[0].role == "assistant":
        turns.insert(0, Turn("user", [Text(FILLER)]))
        warnings.append("adapted:messages")
    for turn, following in pairwise(turns):
        _check_results(turn, following)
    for turn in turns:
        turn.parts.sort(key=lambda part: not isinstance(part, ToolResult))
    return turns


def _check_results(turn: Turn, following: Turn) -> None:
    """Each call needs its result in the next turn, each result its call in the one before."""
    calls = {part.id: part for part in turn.parts if isinstance(part, ToolCall)}
    answered = {part.call_id: part for part in following.parts if isinstance(part, ToolResult)}
    for call_id, call in calls.items():
        if call_id not in answered:
            raise InvalidRequest(f"{call.at}: this tool call has no result in the next message.", param=call.at)
    for call_id, result in answered.items():
        if call_id not in calls:
            raise InvalidRequest(f"{result.at}: no tool call before it has this id.", param=result.at)


def refuse_prefill(turns: list[Message], target: UpstreamTarget) -> None:
    """Newer models do not continue an answer that the client began.

    Raises:
        Unprocessable: the last turn is the assistant's, and this model refuses that; another may take it.
    """
    if turns and turns[-1].role == "assistant" and "no_prefill" in target.quirks:
        at = turns[-1].at
        raise Unprocessable(f"{at}: this model does not continue an answer; end with a turn of the user.", param=at)

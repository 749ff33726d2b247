"""One account and one stage, seen through reading calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from handlers.operations.hangzhou.api import VERSIONS, ask, numbered, read
from stacks.policy import Policy

Fields = dict[str, Any]


class Missing(LookupError):
    """Something that should be deployed is not there; the message names it."""


class Account:
    """Reads an account; remembers what it has read, so that all checks see one moment."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._answers: dict[str, Any] = {}

    def ask(self, product: str, action: str, **form: str) -> Fields:
        """The answer to a reading call, asked once."""
        return self._once((product, action, form), lambda: ask(product, action, Fields, form))

    def get(self, product: str, action: str, path: str) -> Fields:
        """The same, of a product whose actions are paths."""
        return self._once((product, action, path), lambda: read(product, path, action, Fields))

    def _once(self, key: object, look: Callable[[], Fields]) -> Fields:
        name = repr(key)
        if name not in self._answers:
            self._answers[name] = look()
        found: Fields = self._answers[name]
        return found

    def stack(self, name: str) -> str:
        """The id of a stack, by its intention."""
        full = f"therouter-{self.stage}-{name}"
        rows = self.ask("ros", "ListStacks", **numbered("StackName", (full,)), PageSize="50").get("Stacks", [])
        found = [row["StackId"] for row in rows if row["StackName"] == full and row["Status"] != "DELETE_COMPLETE"]
        if not found:
            raise Missing(f"there is no stack {full}")
        return str(found[0])

    def ids(self, name: str, kind: str, prefix: str = "") -> dict[str, str]:
        """Logical -> physical id of a stack's resources of a kind whose logical id begins so."""
        rows = self.ask("ros", "ListStackResources", StackId=self.stack(name)).get("Resources", [])
        found = {
            row["LogicalResourceId"]: row["PhysicalResourceId"]
            for row in rows
            if row["ResourceType"] == f"ALIYUN::{kind}" and row["LogicalResourceId"].startswith(prefix)
        }
        if not found:
            raise Missing(f"stack {name} has no {kind} {prefix}".rstrip())
        return found

    def one(self, name: str, kind: str, prefix: str = "") -> str:
        """The physical id of the one resource of a kind."""
        found = self.ids(name, kind, prefix)
        if len(found) != 1:
            raise Missing(f"stack {name} has {len(found)} of {kind} {prefix}".rstrip())
        return next(iter(found.values()))

    def template(self, name: str) -> Fields:
        """The template as it was deployed."""
        body = self.ask("ros", "GetTemplate", StackId=self.stack(name), TemplateStage="Original")["TemplateBody"]
        return msgspec.json.decode(body, type=Fields)

    def timer(self, workload: str, name: str) -> Fields:
        """A function's timer: interval, whether it is on, and the event that it sends."""
        version, function = VERSIONS["fcv3"], quote(f"therouter-{self.stage}-{workload}")
        path = f"/{version}/functions/{function}/triggers/{quote(name)}"
        told = self.get("fcv3", "GetTrigger", path)
        config = msgspec.json.decode(told["triggerConfig"], type=Fields)
        return {**config, "payload": msgspec.json.decode(config.get("payload") or "{}", type=Fields)}


Check = Callable[[Account, Policy], list[str]]
"""Returns what contradicts the claim."""


class Row(NamedTuple):
    """One line of the table: a claim, its sentence, and how it is looked at."""

    claim: str
    sentence: str
    check: Check


def differs(what: str, seen: object, promised: object) -> list[str]:
    """A contradiction if two values differ."""
    return [] if seen == promised else [f"{what} is {seen}, promised is {promised}"]


def rows_of(answer: Mapping[str, Any], *path: str) -> list[Any]:
    """The list at a path in an answer; empty when there is none."""
    found: Any = answer
    for step in path:
        found = found.get(step, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, list) else []

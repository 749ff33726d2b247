"""One account and one stage, seen through read-only calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3

from stacks.policy import Policy

REGION = "us-east-2"
EDGE_REGION = "us-east-1"


class Resource(NamedTuple):
    """One resource of a stack."""

    kind: str
    logical: str
    physical: str


class Missing(LookupError):
    """Something that should be deployed is not there; the message names it."""


class Account:
    """Reads an account; remembers what it has read, so that all checks see one moment."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._answers: dict[tuple[str, ...], Any] = {}

    @functools.cache  # noqa: B019 - an account lives as long as one verification
    def client(self, service: str, region: str = REGION) -> Any:
        """A client; every call made through it reads."""
        return boto3.client(service, region_name=region)  # type: ignore[call-overload]

    def remember(self, key: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        """The answer to a question, asked once."""
        if key not in self._answers:
            self._answers[key] = ask()
        return self._answers[key]

    def resources(self, intention: str) -> tuple[Resource, ...]:
        """The resources of a stack, named by its intention."""
        region, short = (EDGE_REGION, "use1") if intention in {"Edge", "Watchdog"} else (REGION, "use2")
        stack = f"TheRouter-{self.stage}-{short}-{intention}"

        def ask() -> tuple[Resource, ...]:
            pages = (
                self.client("cloudformation", region).get_paginator("list_stack_resources").paginate(StackName=stack)
            )
            rows = [row for page in pages for row in page["StackResourceSummaries"]]
            return tuple(Resource(r["ResourceType"], r["LogicalResourceId"], r["PhysicalResourceId"]) for r in rows)

        found: tuple[Resource, ...] = self.remember(("stack", stack), ask)
        return found

    def ids(self, intention: str, kind: str, logical: str = "") -> list[str]:
        """Physical ids of a stack's resources of a kind whose logical id begins so."""
        found = [r.physical for r in self.resources(intention) if r.kind == kind and r.logical.startswith(logical)]
        if not found:
            raise Missing(f"stack {intention} has no {kind} {logical}".rstrip())
        return found

    def one(self, intention: str, kind: str, logical: str = "") -> str:
        """The physical id of the one resource of a kind."""
        found = self.ids(intention, kind, logical)
        if len(found) != 1:
            raise Missing(f"stack {intention} has {len(found)} of {kind} {logical}".rstrip())
        return found[0]

    def template(self, intention: str) -> dict[str, Any]:
        """The template as it was deployed."""
        stack = f"TheRouter-{self.stage}-use2-{intention}"
        found: dict[str, Any] = self.remember(
            ("template", stack),
            lambda: self.client("cloudformation").get_template(StackName=stack)["TemplateBody"],
        )
        return found

    def pages(self, service: str, call: str, field: str, region: str = REGION, **wanted: Any) -> Iterator[Any]:
        """All rows of a call that has pages."""
        for page in self.client(service, region).get_paginator(call).paginate(**wanted):
            yield from page[field]


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

"""The router of powertools, safe for several requests at once in one process.

`ALBResolver` keeps the current event in an attribute of a base class that all resolvers of the process share, and its context
in one dictionary per resolver: right for Lambda, which gives a process one request at a time; elsewhere one customer's
request would answer another's. Here both live in the thread that serves the request.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

from aws_lambda_powertools.event_handler import ALBResolver

from handlers.hardening import learn_shapes


class IsolatedResolver(ALBResolver):
    """An `ALBResolver` whose current event, Lambda context and route context belong to the calling thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        learn_shapes()  # the room is imported whole, and when it opens its first resolver its threads have not begun
        super().__init__()

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Route one ALB event; the answer is ALB's too."""
        self.current_event = self._to_proxy_event(dict(event))
        self.lambda_context = context
        return super().resolve(event, context)

    @property
    def current_event(self) -> Any:
        """The event that this thread serves."""
        return self._of_thread.event

    @current_event.setter
    def current_event(self, value: Any) -> None:
        self._of_thread.event = value

    @property
    def lambda_context(self) -> Any:
        """The Lambda context of this thread's event."""
        return self._of_thread.lambda_context

    @lambda_context.setter
    def lambda_context(self, value: Any) -> None:
        self._of_thread.lambda_context = value

    @property
    def context(self) -> dict[str, Any]:
        """The route context of this thread's event."""
        if not hasattr(self._of_thread, "context"):
            self._of_thread.context = {}
        return cast("dict[str, Any]", self._of_thread.context)

    @context.setter
    def context(self, value: dict[str, Any]) -> None:
        self._of_thread.context = value

"""What operations say: one line for each outcome, built from a frozen struct, and one count for each kind of outcome.

The structs are the schema: integers, booleans, names of ours and AWS ids. No exception text and no free text can be said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from handlers.settings import Variable
from handlers.telemetry.redaction import redact

SERVICE = "operations"
NAMESPACE = "TheRouter"
logger = Logger(service=SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


EventKind = TypeVar("EventKind")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything that an operation can report; also its answer."""


class EventError(ValueError):
    """The event that called a function is not one of ours; the message names the field and the remedy."""


def read_event(event: object, kind: type[EventKind]) -> EventKind:
    """The event as one of ours, or EventError."""
    try:
        return msgspec.convert(event, kind)
    except msgspec.ValidationError as refused:
        raise EventError(f"{refused}: events are written by the deployment's schedules; deploy them again") from None


def report(outcome: Outcome) -> dict[str, object]:
    """Log an outcome, count it, and return it as the function's answer."""
    name = type(outcome).__name__
    fields = msgspec.json.decode(redact(msgspec.json.encode(outcome)), type=dict[str, object])
    logger.info(name, extra={"outcome": fields})
    if diary := os.environ.get(Variable.DIARY, ""):
        with Path(diary).open("ab") as lines:
            lines.write(msgspec.json.encode({"outcome": name, **fields}) + b"\n")
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
    return {"outcome": name, **fields}

"""Typed calls to the products that operations ask."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from handlers.clouds.aliyun_api import REGION, AliyunApi, code_of
from handlers.clouds.http import Answer

VERSIONS = {
    "alb": "2020-06-16",
    "cs": "2015-12-15",
    "ecs": "2014-05-26",
    "esa": "2024-09-10",
    "fcv3": "2023-03-30",
    "kms": "2016-01-20",
    "metrics": "2019-01-01",
    "oos": "2019-06-01",
    "ram": "2015-05-01",
    "rds": "2014-08-15",
    "ros": "2019-09-10",
    "vpc": "2016-04-28",
}
PAGE_ROWS = 100
T = TypeVar("T")


class ApiRefused(RuntimeError):
    """A product refused or answered what we do not understand; the message names product, action and code."""


class Nothing(msgspec.Struct, frozen=True):
    """An answer of which nothing is read."""


def ask(product: str, action: str, kind: type[T], form: Mapping[str, str]) -> T:
    """One call, decoded.

    Raises:
        ApiRefused: the product refused, or its answer has another shape.
        SecretError: nobody answers, or we have no identity.
    """
    answer = AliyunApi(product, VERSIONS[product], os.environ).call(action, {"RegionId": REGION, **form})
    return _decode(answer, product, action, kind)


def read(product: str, path: str, action: str, kind: type[T]) -> T:
    """One reading call of a product whose actions are paths, decoded; raises as `ask` does."""
    return _decode(AliyunApi(product, VERSIONS[product], os.environ).get(path, action), product, action, kind)


def _decode(answer: Answer, product: str, action: str, kind: type[T]) -> T:
    if answer.status != 200:
        code = re.sub(r"[^A-Za-z0-9._-]", "", code_of(answer))[:64]
        raise ApiRefused(f"{product} {action} was refused ({answer.status} {code}): see the function's role")
    try:
        return msgspec.json.decode(answer.body, type=kind, strict=False)
    except msgspec.MsgspecError:
        raise ApiRefused(f"{product} {action} answered in a shape that we do not know") from None


def numbered(name: str, values: tuple[str, ...]) -> dict[str, str]:
    """A list in a form: `InstanceId.1`, `InstanceId.2`, ..."""
    return {f"{name}.{index}": value for index, value in enumerate(values, 1)}

"""The OpenAPI 3.1 document, made from the rows that the resolver is made from."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from handlers.admin.calls import ANYBODY, Redirect, Route, Text
from handlers.admin.shapes import ErrorAnswer

_PLACES = re.compile(r"<([a-z_]+)>")
_REFERENCE = "#/components/schemas/{name}"
REFUSALS = {
    400: "A field is wrong; `param` names it.",
    401: "Nobody we know.",
    403: "The role does not allow it, or a fresh sign-in is needed.",
    404: "There is no such thing in this tenant.",
    409: "It contradicts what is there.",
    503: "It cannot be decided now; retry.",
}


def describe(routes: Iterable[Route], server: str) -> dict[str, Any]:
    """The document."""
    listed = tuple(routes)
    kinds = {kind for route in listed for kind in (route.body, route.query, _content(route), ErrorAnswer) if kind}
    schemas, components = msgspec.json.schema_components(sorted(kinds, key=str), ref_template=_REFERENCE)
    found = dict(zip(sorted(kinds, key=str), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        operations = paths.setdefault(_PLACES.sub(r"{\1}", route.path), {})
        operations[route.method.lower()] = _operation(route, found, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TheRouter admin API",
            "version": "1",
            "description": "Tenants, users, keys, provider keys, budgets, use, retention and the audit trail.",
        },
        "servers": [{"url": server}] if server else [],
        "security": [{"management_key": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "management_key": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-therouter"},
            },
        },
    }


def _content(route: Route) -> type | None:
    return None if route.answer in {Text, Redirect} else route.answer


def _operation(route: Route, schemas: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "description": " ".join((route.run.__doc__ or "").split()),
        "tags": [route.path.split("/")[2]],
        "parameters": [*_path_parameters(route), *_query_parameters(route, components)],
        "responses": _responses(route, schemas),
        "x-scope": route.scope,
        "x-step-up": route.dangerous,
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    if route.scope == ANYBODY:
        operation["security"] = []
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PLACES.findall(route.path)
    ]


def _query_parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = components[route.query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": fields}
        for name, fields in schema["properties"].items()
    ]


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.answer is Text:
        success["content"] = {"application/jsonl": {"schema": {"type": "string"}}}
    elif route.answer not in {None, Redirect}:
        success["content"] = {"application/json": {"schema": schemas[route.answer]}}
    refusal = {"application/json": {"schema": schemas[ErrorAnswer]}}
    refusals = {str(status): {"description": meaning, "content": refusal} for status, meaning in REFUSALS.items()}
    return {str(route.status): success, **refusals}


@functools.cache
def document(routes: tuple[Route, ...], server: str) -> str:
    """The document as text."""
    return msgspec.json.encode(describe(routes, server)).decode()

"""The public API as data, and the OpenAPI 3.1 document that is made from it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import msgspec

from handlers import errors
from handlers.site.texts import Texts

FILE = Path(__file__).parent / "api.toml"
_JSON = "application/json"
_PARAMETER = re.compile(r"\{([a-z_]+)\}")


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One route of the gateway."""

    id: str
    method: str
    path: str
    required: tuple[str, ...] = ()
    """Fields that the body must have."""
    query: tuple[str, ...] = ()
    media: bool = False
    """Its body may carry images, documents or sound, and may be longer."""
    multipart: bool = False
    streams: bool = False
    public: bool = False
    """Answers without a key."""
    answer: str = _JSON


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Routes, and header -> text key of its meaning."""

    preferences: tuple[str, ...]
    """Fields of a request's `provider` object."""
    route: tuple[Route, ...]
    request_headers: dict[str, str]
    headers: dict[str, str]
    """Of answers."""


@functools.cache
def load_api() -> Api:
    """The API of this build."""
    return msgspec.toml.decode(FILE.read_bytes(), type=Api)


def list_errors() -> list[tuple[int, str]]:
    """(status, code) of every error that a client may see, by status."""
    found = {(kind.http_status, kind.code) for kind in _kinds(errors.TheRouterError)}
    return sorted(found)


def _kinds(kind: type[errors.TheRouterError]) -> list[type[errors.TheRouterError]]:
    return [
        kind,
        *(
            further
            for below in kind.__subclasses__()
            if below.__module__ == errors.__name__
            for further in _kinds(below)
        ),
    ]


def make_document(texts: Texts, public_url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Args:
        texts: the language of the descriptions.
        public_url: scheme and host of the API.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in load_api().route:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, texts)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TheRouter", "version": "1", "description": texts["docs.lead"]},
        "servers": [{"url": public_url}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": texts["docs.keys_1"]}},
            "schemas": {"Error": _error_schema()},
            "headers": {
                name: {"description": texts[f"docs.headers.{key}"], "schema": {"type": "string"}}
                for name, key in load_api().headers.items()
            },
            "responses": {
                str(status): {
                    "description": " / ".join(
                        texts[f"docs.errors.{code}"] for at, code in list_errors() if at == status
                    ),
                    "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status, _ in list_errors()
            },
        },
    }


def _operation(route: Route, texts: Texts) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.id,
        "summary": texts[f"docs.routes.{route.id}"],
        "responses": {"200": _success(route, texts), **_failures(route)},
    }
    parameters = [_parameter(name, "path") for name in _PARAMETER.findall(route.path)]
    parameters += [_parameter(name, "query") for name in route.query]
    if route.method == "POST":
        parameters += _header_parameters(texts)
    if parameters:
        operation["parameters"] = parameters
    if route.method == "POST":
        kind = "multipart/form-data" if route.multipart else _JSON
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": _body_schema(route)}}}
    if route.public:
        operation["security"] = []
    return operation


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string"}}


def _header_parameters(texts: Texts) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": texts[f"docs.request_headers.{key}"],
         "schema": {"type": "string"}}
        for name, key in load_api().request_headers.items()
    ]  # fmt: skip


def _body_schema(route: Route) -> dict[str, Any]:
    """What every body of the route has; the rest is the API's own, which the provider's documentation describes."""
    properties: dict[str, Any] = {name: {} for name in route.required}
    if not _PARAMETER.search(route.path):
        properties["model"] = {"type": "string"}
    if route.streams and not _PARAMETER.search(route.path):
        properties["stream"] = {"type": "boolean"}
    return {"type": "object", "required": list(route.required), "properties": properties, "additionalProperties": True}


def _success(route: Route, texts: Texts) -> dict[str, Any]:
    content: dict[str, Any] = {route.answer: {}}
    if route.streams:
        content["text/event-stream"] = {}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in load_api().headers if name != "retry-after"}
    described = {"description": texts[f"docs.routes.{route.id}"], "content": content}
    return described if route.public else {**described, "headers": headers}


def _failures(route: Route) -> dict[str, Any]:
    wanted = {400, 404, 503} if route.public else {status for status, _ in list_errors()}
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(wanted)}


def _error_schema() -> dict[str, Any]:
    fields = {"code": {"type": "string"}, "message": {"type": "string"}, "param": {"type": ["string", "null"]}}
    return {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "required": ["message"], "properties": fields}},
    }

"""Which paths exist. The same raw path bytes decide authorisation and dispatch; nothing is normalised or rebuilt (A01-A03)."""

from __future__ import annotations

import re

import msgspec

from handlers.errors import MethodNotAllowed, NotFound

BODY_BYTES_MAX = 20 * 1024 * 1024
MEDIA_BODY_BYTES_MAX = 50 * 1024 * 1024
"""For routes whose bodies may carry images, documents or sound (A30)."""


class Route(msgspec.Struct, frozen=True):
    """One path of the public API."""

    name: str
    method: bytes
    dialect: str = "openai_chat"
    operation: str = ""
    """The operation that a provider performs; empty when the gateway answers itself."""
    body_bytes_max: int = 0
    public: bool = False
    """Answers without a key."""
    multipart: bool = False


def _call(name: str, dialect: str, operation: str, *, media: bool = False, multipart: bool = False) -> Route:
    limit = MEDIA_BODY_BYTES_MAX if media else BODY_BYTES_MAX
    return Route(name, b"POST", dialect, operation, limit, multipart=multipart)


def _query(name: str, *, public: bool = False) -> Route:
    return Route(name, b"GET", public=public)


ROUTES: dict[bytes, Route] = {
    b"/v1/chat/completions": _call("chat", "openai_chat", "chat", media=True),
    b"/v1/responses": _call("responses", "openai_responses", "chat", media=True),
    b"/v1/messages": _call("messages", "anthropic_messages", "chat", media=True),
    b"/v1/messages/count_tokens": _call("count_tokens", "anthropic_messages", "count_tokens", media=True),
    b"/v1beta/interactions": _call("interactions", "google_interactions", "chat", media=True),
    b"/v1/interactions": _call("interactions", "google_interactions", "chat", media=True),
    b"/v1/completions": _call("completions", "openai_completions", "chat"),
    b"/v1/embeddings": _call("embeddings", "openai_embeddings", "embeddings"),
    b"/v1/moderations": _call("moderations", "openai_moderations", "moderations"),
    b"/v1/rerank": _call("rerank", "rerank", "rerank"),
    b"/v1/images/generations": _call("images", "openai_images", "images"),
    b"/v1/audio/speech": _call("speech", "openai_speech", "speech"),
    b"/v1/audio/transcriptions": _call(
        "transcriptions", "openai_transcriptions", "transcriptions", media=True, multipart=True
    ),
    b"/v1/route": _call("route", "openai_chat", "", media=True),
    b"/v1/models": _query("models", public=True),
    b"/v1/key": _query("key"),
    b"/v1/generation": _query("generation"),
    b"/v1/generation/content": _query("generation_content"),
    b"/healthz": _query("healthz", public=True),
    b"/readyz": _query("readyz", public=True),
    b"/metrics": _query("metrics", public=True),
}
"""Routes without parameters. Every route is here or in `PATTERNS`; a test walks both."""

_GOOGLE_VERBS = {b"generateContent": "chat", b"streamGenerateContent": "chat", b"countTokens": "count_tokens"}
_GOOGLE = re.compile(rb"/v1(?:beta)?/models/([A-Za-z0-9][A-Za-z0-9._/-]{0,127}):([A-Za-z]{1,32})")
_MODEL = re.compile(rb"/v1/models/([A-Za-z0-9][A-Za-z0-9._:/-]{0,127}?)(/endpoints)?")

STORED_BODIES = (b"/v1/files", b"/v1/batches", b"/v1/responses/", b"/v1/threads", b"/v1/assistants", b"/v1/uploads",
                 b"/v1/vector_stores", b"/v1/conversations", b"/v1/containers", b"/v1/fine_tuning", b"/v1/messages/batches",
                 b"/v1/interactions/", b"/v1beta/interactions/", b"/v1beta/agents", b"/v1beta/files", b"/v1beta/cachedContents",
                 b"/v1beta/batches", b"/v1beta/environments", b"/v1beta/triggers", b"/v1beta/webhooks")  # fmt: skip


def find_route(method: bytes, path: bytes) -> Route:
    """The route for exactly these bytes, or NotFound / MethodNotAllowed."""
    route = ROUTES.get(path) or _parametrised(path) or _explaining(path)
    if route is None:
        if path.startswith(STORED_BODIES):
            raise NotFound(
                "This route would need request or response bodies to be stored, and TheRouter never stores them. "
                "Send the content with each request instead.",
                code="content_not_stored",
            )
        raise NotFound("No such route. The routes are listed at /docs.", code="route_not_found")
    if method != route.method and not (method == b"HEAD" and route.method == b"GET"):
        raise MethodNotAllowed(f"This route answers to {route.method.decode()} only.")
    return route


def _parametrised(path: bytes) -> Route | None:
    if google := _GOOGLE.fullmatch(path):
        operation = _GOOGLE_VERBS.get(google[2])
        return _call("google", "google_generate", operation, media=True) if operation else None
    if model := _MODEL.fullmatch(path):
        return _query("model_endpoints" if model[2] else "model", public=True)
    return None


_EXPLAINING = b"/v1/route"


def _explaining(path: bytes) -> Route | None:
    """/v1/route/messages explains what /v1/messages would do, and so for each path that a provider answers."""
    explained = explained_path(path)
    route = (ROUTES.get(explained) or _parametrised(explained)) if path.startswith(_EXPLAINING + b"/") else None
    return msgspec.structs.replace(route, name="route", operation="") if route and route.operation else None


def explained_path(path: bytes) -> bytes:
    """The path that a request to /v1/route... asks about; by itself /v1/route means chat completions."""
    return b"/v1" + (path.removeprefix(_EXPLAINING) or b"/chat/completions")


def google_model(path: bytes) -> tuple[str, bool] | None:
    """(model, streams) from a Google-style path, or None."""
    if google := _GOOGLE.fullmatch(path):
        return google[1].decode(), google[2] == b"streamGenerateContent"
    return None


def model_of(path: bytes) -> str:
    """The model id in /v1/models/{author}/{slug}[/endpoints]."""
    match = _MODEL.fullmatch(path)
    return match[1].decode() if match else ""

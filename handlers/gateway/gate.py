"""The strict gate: what a request body must be before anything is decided about it.

Rules
    Only the top-level fields that routing needs are typed here; all else stays bytes and goes to the provider pod untouched.
    Refused with the field named: wrong types (`true` is not a number), fields that would steer us to other hosts or
    credentials, numbers out of range, duplicate routing fields, nesting beyond 64, NaN, invalid UTF-8, lone surrogates.

Theory of operation
    One typed decode validates the JSON grammar of the whole body. Nesting is bounded by counting brackets, which is exact
    enough nearly always; only a body with more than 64 opening brackets pays for an exact count. The pod re-encodes the
    top level from its own decode by the same library, so what was authorised here is what is sent there, whatever the
    size of the body; the explicit checks for duplicates and surrogates cover bodies up to STRICT_BYTES_MAX.
    Of a chat body whose settings were let in before only the messages are read, by a decode that lets nothing pass that
    the explicit checks would refuse.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from handlers.errors import InvalidRequest, UnsupportedMediaType
from handlers.gateway.call import Call
from handlers.gateway.preferences import NO_PREFERENCES, Preferences, SortRule
from handlers.gateway.routes import ROUTES, Route, google_model
from handlers.gateway.routing_fields import ABSENT, STEERING, RoutingFields
from handlers.translation.canonical.json_words import complaint
from handlers.translation.canonical.known_sides import KnownSides
from handlers.translation.canonical.plain_messages import decode_plain

DEPTH_MAX = 64
STRICT_BYTES_MAX = 128 * 1024
COUNTED_BYTES_MAX = 4_096
KNOWN_BYTES_MAX = 65_536
"""Longer bodies are read whole each time; so long a prompt may be too long for some endpoints, too."""

LIST_PRICE_TIERS = frozenset({"auto", "default", "on_demand", "standard", "standard_only", "flex"})
"""Service tiers that cost the list price or less."""

_decode = msgspec.json.Decoder(RoutingFields).decode
_EMPTY = RoutingFields()
_NON_STRUCTURAL = bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(rb'"[^"]*"')
_PAIR = re.compile(rb"\[\]|\{\}")
_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_SINGULAR = re.compile(rb'"(?:m(?:odels?|ax_tokens)|stream|provider)"')


def read_call(route: Route, target: bytes, path: bytes, content_type: bytes | None, body: bytes) -> Call:
    """Decode and check one request; raises InvalidRequest or UnsupportedMediaType with the field named."""
    if route.multipart:
        from_form = _form_fields(content_type, body)
        form_type = (content_type or b"").decode("latin-1")
        return _build(route, target, path, from_form, body, form_type)
    if content_type is not None and b"json" not in content_type:
        raise UnsupportedMediaType("Send the body as application/json.", param="Content-Type")
    if not body:
        raise InvalidRequest("The request has no body; send a JSON object.", code="empty_body")
    known = _find_known(target, body) if route is _CHAT else None
    if known is not None:
        return known
    call = _build(route, target, path, decode_fields(body), body)
    if route is _CHAT and len(body) <= KNOWN_BYTES_MAX and not (call.needs or call.searches):
        _known_calls.learn(target, body, replace(call, body=b"", known_as=object()))
    return call


_CHAT = ROUTES[b"/v1/chat/completions"]
_known_calls: KnownSides[bytes, Call] = KnownSides()
"""By target: of calls that were let in, everything but their messages."""


def _find_known(target: bytes, body: bytes) -> Call | None:
    """A call with settings that were let in before and plain messages: these are all that is left to check."""
    if len(body) > KNOWN_BYTES_MAX:
        return None
    found = _known_calls.find(target, body)
    if found is None or decode_plain(found[1]) is None:
        return None
    return replace(found[0], body=body)


def decode_fields(body: bytes) -> RoutingFields:
    """The routing fields of a JSON object, or InvalidRequest naming what is wrong."""
    if _opens_often(body):
        _check_depth(body)
    try:
        fields = _decode(body)
    except msgspec.ValidationError as error:
        raise _field_error(error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidRequest("The body is not valid JSON (RFC 8259, UTF-8).", code="invalid_json") from None
    _check_text(body)
    return fields


def _check_text(body: bytes) -> None:
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise InvalidRequest("The body is not valid UTF-8.", code="invalid_json") from None
    if len(body) > STRICT_BYTES_MAX:
        return
    if b"\\" in body and (b"\\ud" in body or b"\\uD" in body) and _lone_surrogate(body):
        raise InvalidRequest("The body contains half of a surrogate pair.", code="invalid_json")
    singular = _SINGULAR.findall(body)
    if len(singular) > len(set(singular)):
        _check_duplicates(body)


def _lone_surrogate(body: bytes) -> bool:
    # Escaped backslashes first, so that an escaped backslash followed by "ud800" is text, not an escape.
    return _SURROGATE.search(body.replace(b"\\\\", b"")) is not None


def _check_duplicates(body: bytes) -> None:
    """Exact: walk the top level of the object and refuse a key that comes twice."""
    seen: set[str] = set()
    for key in _top_level_keys(body):
        if key in seen:
            raise InvalidRequest(f"The field `{key}` comes twice.", param=key, code="duplicate_field")
        seen.add(key)


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]')


def _top_level_keys(body: bytes) -> list[str]:
    keys: list[str] = []
    depth, last = 0, b""
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in {b"{", b"["}:
            depth += 1
        elif token in {b"}", b"]"}:
            depth -= 1
        elif token == b":" and depth == 1:
            keys.append(msgspec.json.decode(last, type=str)[:64])
        last = token
    return keys


def _check_depth(body: bytes) -> None:
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _STRING.sub(b"", bare).translate(None, _NON_STRUCTURAL)
    for _ in range(DEPTH_MAX):
        if not brackets:
            return
        brackets = _PAIR.sub(b"", brackets)
    if brackets:
        raise InvalidRequest(
            f"The body nests deeper than {DEPTH_MAX} levels, or its brackets do not match.", code="too_deep"
        )


def _opens_often(body: bytes) -> bool:
    """More than DEPTH_MAX opening brackets. In a long body `find` hops from one to the next and stops early."""
    if len(body) <= COUNTED_BYTES_MAX:
        return body.count(b"[") + body.count(b"{") > DEPTH_MAX
    openings = 0
    for bracket in (b"[", b"{"):
        at = body.find(bracket)
        while at >= 0:
            openings += 1
            if openings > DEPTH_MAX:
                return True
            at = body.find(bracket, at + 1)
    return False


def _field_error(error: msgspec.ValidationError) -> InvalidRequest:
    """The field at fault and what is accepted there; a field that steers is refused by its name."""
    param, sentence = complaint(str(error), RoutingFields)
    if not param:
        return InvalidRequest("The body must be a JSON object.", code="invalid_json")
    top = param.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]
    if top in STEERING:
        return InvalidRequest(
            f"`{top}` is not accepted: TheRouter alone decides which host and credential a request uses. Remove it.",
            param=top,
            code="steering_field",
        )
    return InvalidRequest(sentence, param=param, code="invalid_type")


def _build(
    route: Route, target: bytes, path: bytes, fields: RoutingFields, body: bytes, content_type: str = "application/json"
) -> Call:
    model, stream = fields.model, fields.stream or False
    if route.dialect == "google_generate":
        model, stream = google_model(path) or (model, stream)
    names: tuple[str, ...] = (model,) if model else ()
    if fields.models is not None or fields.fallbacks is not None:
        names += tuple(name for name in _fallbacks(fields) if name != model)
    if not names:
        raise InvalidRequest("`model` is missing: name one of GET /v1/models.", param="model", code="missing_field")
    asks_for_nothing = fields.tools is ABSENT is fields.response_format
    return Call(
        route,
        names,
        stream,
        fields.max_completion_tokens or fields.max_output_tokens or fields.max_tokens,
        fields.n or 1,
        fields.provider or NO_PREFERENCES if fields.route != "sort" else _sorted_over_all(fields),
        fields.session_id or fields.prompt_cache_key or "",
        body,
        target.decode("ascii"),
        content_type,
        _NEEDS_NOTHING if asks_for_nothing else _needs(fields),
        fields.service_tier is not None and fields.service_tier not in LIST_PRICE_TIERS,
        b"search" in bytes(fields.tools) or bool(fields.web_search_options) or bool(fields.plugins),
    )


def _fallbacks(fields: RoutingFields) -> list[str]:
    """The models beside `model`, in either spelling."""
    if not fields.fallbacks:
        return fields.models or []
    if fields.models:
        raise InvalidRequest("`models` and `fallbacks` say the same; send one of them.", param="fallbacks")
    return [entry if isinstance(entry, str) else entry.model for entry in fields.fallbacks]


def _sorted_over_all(fields: RoutingFields) -> Preferences:
    """What `provider` says, where the older `route: sort` means to sort over all models."""
    wishes = fields.provider or NO_PREFERENCES
    if isinstance(wishes.sort, SortRule):
        return wishes
    return replace(wishes, sort=SortRule(wishes.sort or "price", "none"))


_NO_TOOLS = (b"", b"null", b"[]")
_NEEDS_NOTHING: frozenset[str] = frozenset()


def _needs(fields: RoutingFields) -> frozenset[str]:
    tools, shape = bytes(fields.tools), bytes(fields.response_format)
    found = set()
    if tools not in _NO_TOOLS:
        found.add("tools")
    if b"json_schema" in shape:
        found.add("json_schema")
    return frozenset(found)


_FORM_MODEL = re.compile(rb'name="?(model|stream|response_format)"?\r\n(?:[^\r\n]*\r\n)*?\r\n([^\r\n]{1,160})\r\n')


def _form_fields(content_type: bytes | None, body: bytes) -> RoutingFields:
    if content_type is None or not content_type.startswith(b"multipart/form-data"):
        raise UnsupportedMediaType("Send the body as multipart/form-data.", param="Content-Type")
    values: dict[bytes, str] = {}
    for match in _FORM_MODEL.finditer(body):
        name = match[1].decode()
        if match[1] in values:
            raise InvalidRequest(f"The field `{name}` comes twice.", param=name, code="duplicate_field")
        values[match[1]] = match[2].decode("utf-8", "replace")
    return replace(_EMPTY, model=values.get(b"model"), stream=values.get(b"stream") == "true")

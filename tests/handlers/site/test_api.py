from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from handlers.gateway.preferences import Preferences
from handlers.gateway.routes import BODY_BYTES_MAX, MEDIA_BODY_BYTES_MAX, ROUTES, find_route
from handlers.site.api import list_errors, load_api
from handlers.site.texts import LANGUAGES, load_texts
from handlers.transport.limits import ServerLimits
from tests.handlers.site.pages import PUBLIC_URL, Reader, ask, make_site

OPERATORS_ONLY = {b"/metrics"}
MODEL = "openai/gpt-4o"
HANDLERS = Path(__file__).parents[3] / "handlers"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_document_is_valid_openapi(language: str) -> None:
    document = msgspec.json.decode(ask(make_site(), "/docs/openapi.json", f"lang={language}").body)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": PUBLIC_URL}]
    errors = [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


def test_the_document_has_exactly_the_gateways_routes() -> None:
    ours = {row.path.encode() for row in load_api().route if "{" not in row.path}
    assert ours == set(ROUTES) - OPERATORS_ONLY


def test_each_documented_route_is_as_the_gateway_has_it() -> None:
    for row in load_api().route:
        path = row.path.replace("{model}", MODEL).encode()
        route = find_route(row.method.encode(), path)
        assert route.public == row.public, row.path
        assert route.multipart == row.multipart, row.path
        expected = (MEDIA_BODY_BYTES_MAX if row.media else BODY_BYTES_MAX) if row.method == "POST" else 0
        assert route.body_bytes_max == expected, row.path


def test_every_pattern_of_the_gateway_is_documented() -> None:
    verbs = {match[1] for row in load_api().route if (match := re.search(r"\{model\}:(\w+)$", row.path))}
    assert verbs == {"generateContent", "streamGenerateContent", "countTokens"}
    assert {"/v1/models/{model}", "/v1/models/{model}/endpoints"} <= {row.path for row in load_api().route}


def names_in(folder: str, pattern: str) -> set[str]:
    """Header names that the source writes as bytes, or into a line."""
    source = "".join(path.read_text(encoding="utf-8") for path in (HANDLERS / folder).rglob("*.py"))
    return set(re.findall(rf'[bf]"({pattern})[":]', source))


def test_every_header_that_the_gateway_reads_or_writes_is_documented() -> None:
    api = load_api()
    keys = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "content-type"}
    read = names_in(
        "gateway",
        r"[a-z]+-beta|anthropic-version|idempotency-key|x-session-id|x-goog-api-client|x-openrouter-[a-z]+|x-therouter-padding",
    )
    assert read == set(api.request_headers) - keys
    ours = names_in("gateway", r"x-(?:ratelimit|therouter)-[a-z-]+|x-request-id") - set(api.request_headers)
    assert ours <= set(api.headers)
    assert set(api.headers) - ours == {"retry-after", "x-therouter-warnings"}, "warnings are the pods' to write"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_every_route_header_and_error(language: str) -> None:
    words = " ".join(Reader(ask(make_site(), "/docs", f"lang={language}").body).text)
    for row in load_api().route:
        assert row.path in words
    for name in (*load_api().request_headers, *load_api().headers):
        assert name in words
    for status, code in list_errors():
        assert str(status) in words
        assert code in words
    assert PUBLIC_URL in words


def test_the_limits_are_the_gateways() -> None:
    texts = load_texts("en")
    assert f"{BODY_BYTES_MAX >> 20} MB" in texts["docs.limits_1"]
    assert f"{MEDIA_BODY_BYTES_MAX >> 20} MB" in texts["docs.limits_1"]
    limits = ServerLimits()
    assert f"{limits.request_line_bytes >> 10} KB" in texts["docs.limits_2"]
    assert f"{limits.header_section_bytes >> 10} KB" in texts["docs.limits_2"]


def test_errors_of_ours_are_never_the_clients_fault() -> None:
    assert (503, "temporarily_unavailable") in list_errors()
    assert (500, "internal_error") in list_errors()
    assert len({code for _, code in list_errors()}) == len(list_errors())


def test_every_header_that_the_gateway_sets_is_documented() -> None:
    constant = re.compile(r'b?"(x-(?:therouter|ratelimit)-[a-z-]+|x-request-id|retry-after)"')
    rooms = [
        HANDLERS / "gateway",
        HANDLERS / "provider",
        HANDLERS / "translation",
        HANDLERS / "transport" / "responses.py",
    ]
    files = [path for room in rooms for path in ([room] if room.is_file() else room.rglob("*.py"))]
    set_by_us = {name for path in files for name in constant.findall(path.read_text())}
    assert "x-therouter-provider" in set_by_us
    assert set_by_us - set(load_api().headers) == {"x-therouter-padding"}, "which is read, not set"


def test_every_field_of_the_provider_object_is_documented() -> None:
    assert load_api().preferences == Preferences.__struct_fields__

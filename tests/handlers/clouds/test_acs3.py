"""Alibaba Cloud's signature against the vendor's published example, and against what must change it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from handlers.clouds.acs3 import FORM, Credentials, Request, encode_query, sign

# The worked example in the vendor's documentation, "V3 request structure and signature"
# (alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature): fixed parameters, canonical request,
# its hash and the signature are printed there. The access key is the documentation's own placeholder.
PUBLISHED = Request(
    host="ecs.cn-shanghai.aliyuncs.com",
    action="RunInstances",
    version="2014-05-26",
    query={"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"},
)
PUBLISHED_NOW = datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC)
PUBLISHED_NONCE = "3156853299f313e23d1673dc12e1703d"
PUBLISHED_SIGNATURE = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
PLACEHOLDER = Credentials("YourAccessKeyId", "YourAccessKey" + "Secret")


def test_the_published_example_gives_the_published_signature() -> None:
    headers = sign(PUBLISHED, PLACEHOLDER, now=PUBLISHED_NOW, nonce=PUBLISHED_NONCE)
    assert headers["authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        f"Signature={PUBLISHED_SIGNATURE}"
    )
    assert headers["x-acs-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "ecs.cn-hangzhou.aliyuncs.com"},
        {"action": "DeleteInstances"},
        {"version": "2014-05-27"},
        {"method": "GET"},
        {"path": "/x"},
        {"query": {"RegionId": "cn-hangzhou"}},
        {"body": b"a=b"},
        {"content_type": FORM},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_part_of_a_request_is_signed(changed: dict[str, object]) -> None:
    parts = {name: getattr(PUBLISHED, name) for name in PUBLISHED.__dataclass_fields__} | changed
    headers = sign(Request(**parts), PLACEHOLDER, now=PUBLISHED_NOW, nonce=PUBLISHED_NONCE)
    assert PUBLISHED_SIGNATURE not in headers["authorization"]


def test_a_security_token_is_sent_and_signed() -> None:
    token = "temporary" + "-token"
    headers = sign(PUBLISHED, Credentials("id", "secret", token), now=PUBLISHED_NOW, nonce="1")
    assert headers["x-acs-security-token"] == token
    assert ";x-acs-security-token;" in headers["authorization"]


def test_the_date_is_sent_in_utc() -> None:
    hangzhou = PUBLISHED_NOW.astimezone(timezone(timedelta(hours=8)))
    headers = sign(PUBLISHED, PLACEHOLDER, now=hangzhou, nonce=PUBLISHED_NONCE)
    assert headers["x-acs-date"] == "2023-10-26T10:22:32Z"


def test_parameters_are_escaped_as_the_service_will_read_them() -> None:
    assert encode_query({"b": "a b/*~+%", "a": "杭州"}) == "a=%E6%9D%AD%E5%B7%9E&b=a%20b%2F%2A~%2B%25"


def test_credentials_print_no_secret() -> None:
    shown = repr(Credentials("id", "hidden-secret", "hidden-token"))
    assert "hidden" not in shown
    assert "id" in shown


def test_a_request_prints_no_body() -> None:
    assert "canary" not in repr(Request(host="h", action="a", version="v", body=b"canary"))

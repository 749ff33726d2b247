from __future__ import annotations

from typing import Any

import pytest

from handlers.catalog.loading import load_catalog
from handlers.settings import NO_DOORS
from stacks.reading import SettingError
from stacks.settings import parse

PROVIDERS = load_catalog("global").providers


def given(context: dict[str, object], **changed: object) -> dict[str, object]:
    return {"stage": "production", **context, **changed}


def test_a_complete_context_is_read(context: Any) -> None:
    settings = parse(given(context, providers="openai, anthropic"), PROVIDERS)
    assert settings.repository == "therouter"
    assert settings.digest == "sha256:" + "ab" * 32
    assert sorted(settings.providers) == ["anthropic", "openai"]
    assert settings.cluster_name == "therouter-production"


def test_all_providers_that_can_have_a_pod_are_the_default(context: Any) -> None:
    settings = parse(given(context), PROVIDERS)
    assert {"openai", "anthropic"} <= set(settings.providers)
    assert all("{" not in provider.base_url for provider in settings.providers.values())


BAD: list[tuple[str, object, str]] = [
    ("stage", "prod", "stage is 'prod': choose one of production, staging, small"),
    ("stage", None, "stage is missing"),
    ("domain", "", "domain is missing: give the public name"),
    ("domain", "https://api.example.com", "domain is 'https://api.example.com': give the public name"),
    ("domain", "api.other.example", "which is not in zone_name"),
    ("domain", "api.cn-hangzhou.aliyuncs.com", "a name of the china region"),
    ("zone_name", "example", "zone_name is 'example'"),
    ("zone_id", "12", "zone_id is '12'"),
    ("account", "1234", "give the 12-digit AWS account"),
    ("account", None, "account is missing"),
    ("image", "therouter:latest", "give repository and digest"),
    ("image", None, "image is missing"),
    ("image", "123456789012.dkr.ecr.us-east-2.amazonaws.com/therouter:v1", "give repository and digest"),
    ("image", f"444455556666.dkr.ecr.us-east-2.amazonaws.com/therouter@sha256:{'a' * 64}", "must lie in account"),
    ("image", f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/therouter@sha256:{'a' * 64}", "in us-east-2"),
    ("image", f"registry.cn-hangzhou.aliyuncs.com/therouter@sha256:{'a' * 64}", "a name of the china region"),
    ("alarm_email", "nobody", "give the address that alarms are sent to"),
    ("administrators", "", "name the IAM roles"),
    ("providers", "openai,nobody", "providers names 'nobody': choose from"),
]


@pytest.mark.claim("C45")
@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_a_bad_setting_is_refused_with_its_name_and_the_remedy(
    context: Any, name: str, value: object, message: str
) -> None:
    with pytest.raises(SettingError, match=name) as refused:
        parse(given(context, **{name: value}), PROVIDERS)
    assert message in str(refused.value)


def test_a_provider_without_a_fixed_address_is_refused_by_name(context: Any) -> None:
    unfixed = [slug for slug, row in PROVIDERS.items() if "{" in row.base_url or row.country == "--"]
    assert unfixed, "the catalogue has no provider with a placeholder; the test needs one"
    with pytest.raises(SettingError, match=f"providers: provider {unfixed[0]}: base_url must be https"):
        parse(given(context, providers=unfixed[0]), PROVIDERS)


def test_who_vouches_for_people_is_optional_and_checked(context: Any) -> None:
    nobody = dict.fromkeys(("issuer", "issuer_groups", "issuer_hosts", "scanning_keys"), "")
    assert parse(given(context, **nobody), PROVIDERS).doors == NO_DOORS
    doors = parse(given(context), PROVIDERS).doors
    assert doors.hosts == ("login.therouter.example", "api.github.com", "tokens.therouter.example")
    assert doors.groups == {"founders": "owner", "finance": "billing"}
    for name, value in (
        ("issuer", "http://127.0.0.1:8094"), ("issuer", "https://localhost"), ("scanning_keys", "http://keys.example.com"),
        ("issuer", "https://login.example.com:8443"), ("issuer_groups", "a=emperor"),
        ("issuer_hosts", "https://tokens.example.com"), ("issuer", "https://login.cn-hangzhou.aliyuncs.com"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=f"^{name} "):
            parse(given(context, **{name: value}), PROVIDERS)

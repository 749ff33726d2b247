"""Each value that the operator must decide is refused by its name while it is missing or wrong."""

from __future__ import annotations

import pytest

from aliyun.reading import SettingError
from aliyun.settings import parse
from handlers.catalog.entries import Provider
from handlers.settings import NO_DOORS
from tests.aliyun.conftest import PROVIDERS

CHECKLIST = (
    "account",
    "icp_filing",
    "generative_filing",
    "esa_instance",
    "esa_ruleset",
    "esa_origin_ranges",
    "certificate",
    "registry",
    "image",
    "alarm_email",
    "domain",
    "zone_name",
    "stage",
)


def test_the_example_is_complete(context: dict[str, object]) -> None:
    settings = parse(context, PROVIDERS)
    assert settings.stage == "production"
    assert list(settings.providers) == ["deepseek", "zhipu"]
    assert settings.repository == ("therouter", "therouter")
    assert len(settings.zones) == settings.policy.availability_zones


@pytest.mark.parametrize("name", CHECKLIST)
def test_what_code_cannot_do_is_asked_for_by_name(name: str, context: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=f"^{name} is missing: "):
        parse({key: value for key, value in context.items() if key != name}, PROVIDERS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "123"),
        ("domain", "API.example.cn"),
        ("domain", "api.example.com"),
        ("stage", "test"),
        ("esa_instance", "cdn-1"),
        ("esa_ruleset", 0),
        ("esa_origin_ranges", ["0.0.0.0/0"]),
        ("esa_origin_ranges", ["nowhere"]),
        ("esa_origin_ranges", []),
        ("registry", "docker.io"),
        ("image", "therouter:latest"),
        ("image", "x-registry.cn-beijing.cr.aliyuncs.com/t/t@sha256:" + "0" * 64),
        ("image", "x-registry.cn-hangzhou.cr.aliyuncs.com/t/t:latest"),
        ("zones", "cn-hangzhou-h,cn-hangzhou-h,cn-hangzhou-j"),
        ("zones", "cn-hangzhou-h,cn-hangzhou-j"),
        ("zones", "cn-beijing-a,cn-hangzhou-h,cn-hangzhou-j"),
        ("kubernetes", "1.34"),
        ("alarm_email", "nobody"),
        ("providers", "nobody"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(name: str, value: object, context: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=name):
        parse({**context, name: value}, PROVIDERS)


def test_an_unknown_setting_is_refused(context: dict[str, object]) -> None:
    with pytest.raises(SettingError, match="colour: no such setting"):
        parse({**context, "colour": "red"}, PROVIDERS)


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain", "api.global"),
        ("alarm_email", "ops@x.us-east-2.amazonaws.com"),
        ("image", "123456789012.dkr.ecr.us-east-2.amazonaws.com/therouter@sha256:" + "0" * 64),
    ],
)
def test_c46_names_of_the_global_region_are_refused(name: str, value: str, context: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=rf"{name} is .*a name of the global region"):
        parse({**context, name: value}, PROVIDERS)


@pytest.mark.claim("C46")
def test_c46_a_provider_outside_the_mainland_is_refused(context: dict[str, object]) -> None:
    abroad = Provider(
        slug="openai",
        name="x",
        base_url="https://api.openai.com/v1",
        wire_format="openai_chat",
        auth="bearer",
        country="US",
    )
    with pytest.raises(SettingError, match=r"openai.*region_restricted"):
        parse(context, {**PROVIDERS, "openai": abroad})


def test_providers_can_be_chosen(context: dict[str, object]) -> None:
    assert list(parse({**context, "providers": "zhipu"}, PROVIDERS).providers) == ["zhipu"]


def test_who_vouches_for_people_is_optional_and_checked(context: dict[str, object]) -> None:
    nobody = {name: value for name, value in context.items() if name not in {"issuer", "issuer_groups"}}
    assert parse(nobody, PROVIDERS).doors == NO_DOORS
    assert parse(context, PROVIDERS).doors.hosts == ("login.example.cn",)
    for name, value in (
        ("issuer", "http://127.0.0.1:8094"), ("issuer_groups", "a=emperor"),
        ("scanning_keys", "https://api.github.com/meta/public_keys/secret_scanning"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=f"^{name} "):
            parse({**context, name: value}, PROVIDERS)

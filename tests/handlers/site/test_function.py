from __future__ import annotations

import pytest

from handlers.clouds.function_compute import http_event
from handlers.settings import SettingError
from handlers.site.function import open_deployed_room

ENVIRONMENT = {
    "THEROUTER_REGION": "global",
    "THEROUTER_CLOUD": "aws",
    "THEROUTER_ENVIRONMENT": "production",
    "THEROUTER_PUBLIC_URL": "https://api.therouter.example",
}


def test_the_room_needs_no_secret_and_no_database() -> None:
    answer = open_deployed_room(ENVIRONMENT).resolve(http_event("GET", "/", "", [], b""), None)
    assert answer["statusCode"] == 200
    assert '<html lang="en">' in answer["body"]


def test_the_region_decides_the_language() -> None:
    china = ENVIRONMENT | {"THEROUTER_REGION": "china", "THEROUTER_CLOUD": "aliyun"}
    answer = open_deployed_room(china).resolve(http_event("GET", "/", "", [], b""), None)
    assert '<html lang="zh-CN">' in answer["body"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("THEROUTER_PUBLIC_URL", ""),
        ("THEROUTER_PUBLIC_URL", "http://api.therouter.example"),
        ("THEROUTER_PUBLIC_URL", "javascript:alert(1)"),
        ("THEROUTER_REGION", "mars"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable):
        open_deployed_room(ENVIRONMENT | {variable: value})

"""One deployment for all tests of this folder; its values are the example's and two providers of the mainland."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from aliyun import app
from aliyun.base import RouterStack
from aliyun.region import build_region
from aliyun.settings import Settings, parse
from handlers.catalog.entries import Provider

EXAMPLE = Path(app.__file__).with_name("example.toml")
PROVIDERS = {
    slug: Provider(
        slug=slug, name=slug, base_url=f"https://{host}/v1", wire_format="openai_chat", auth="bearer", country="CN"
    )
    for slug, host in (("deepseek", "api.deepseek.com"), ("zhipu", "open.bigmodel.cn"))
}


@pytest.fixture(scope="session")
def context() -> dict[str, object]:
    return dict(tomllib.loads(EXAMPLE.read_text()))


@pytest.fixture(scope="session")
def settings(context: dict[str, object]) -> Settings:
    return parse(context, PROVIDERS)


@pytest.fixture(scope="session")
def stacks(settings: Settings) -> dict[str, RouterStack]:
    return {stack.name: stack for stack in build_region(settings).stacks}


@pytest.fixture
def templates(settings: Settings) -> dict[str, dict[str, Any]]:
    """Fresh templates, which a test may spoil."""
    return app.templates(settings)

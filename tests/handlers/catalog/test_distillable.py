"""Who may be trained on what: by licence, and never by guess."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from handlers.catalog.distillable import LICENCES, is_distillable
from handlers.catalog.loading import load_catalog


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-oss-120b", True),
        ("openai/gpt-4o", False),
        ("deepseek/deepseek-r1", True),
        ("deepseek/deepseek-r1-distill-llama-70b", False),
        ("qwen/qwen3-32b", True),
        ("qwen/qwen3-max", False),
        ("qwen/qwen3-coder-plus", False),
        ("mistralai/mistral-large-2411", False),
        ("meta-llama/llama-3.3-70b-instruct", False),
        ("anthropic/claude-sonnet-4.5", False),
        ("google/gemma-3-27b-it", False),
        ("local/smollm2-135m", True),
    ],
)
def test_only_a_licence_that_permits_it_counts(model: str, expected: bool) -> None:
    assert is_distillable(model) is expected


def test_the_catalogue_carries_it_and_no_row_is_idle() -> None:
    models = [model for region in ("global", "china") for model in load_catalog(region).models.values()]
    for model in models:
        assert {endpoint.capabilities.distillable for endpoint in model.endpoints} == {is_distillable(model.id)}
    idle = [pattern for pattern, _ in LICENCES if not any(fnmatchcase(model.id, pattern) for model in models)]
    assert idle == []

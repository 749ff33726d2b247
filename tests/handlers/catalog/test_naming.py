from __future__ import annotations

import pytest

from handlers.catalog.naming import Namer, squeeze

NAMER = Namer(
    [
        "anthropic/claude-sonnet-4.5",
        "meta-llama/llama-3.3-70b-instruct",
        "openai/gpt-oss-120b",
        "deepseek/deepseek-v3.2",
        "z-ai/glm-4.7",
        "qwen/qwen3-32b",
    ]
)


@pytest.mark.parametrize(
    ("upstream", "author", "host", "ours"),
    [
        ("gpt-4o", "openai", "", "openai/gpt-4o"),
        ("claude-sonnet-4-5", "anthropic", "", "anthropic/claude-sonnet-4.5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon", "bedrock", "anthropic/claude-sonnet-4.5"),
        ("us.anthropic.claude-old-20240101-v1:0", "amazon", "bedrock", "anthropic/claude-old-20240101"),
        ("meta.llama3-3-70b-instruct-v1:0", "amazon", "bedrock", "meta-llama/llama-3.3-70b-instruct"),
        ("amazon.nova-lite-v1:0", "amazon", "bedrock", "amazon/nova-lite"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "", "meta-llama/llama-3.3-70b-instruct"),
        ("llama-3.3-70b-versatile", "groq", "", "meta-llama/llama-3.3-70b-instruct"),
        ("gpt-oss-120b", "cerebras", "", "openai/gpt-oss-120b"),
        ("deepseek-v3p2", "fireworks", "fireworks", "deepseek/deepseek-v3.2"),
        ("accounts/fireworks/models/glm-4p7", "fireworks", "fireworks", "z-ai/glm-4.7"),
        ("zai-org/GLM-4.7", "deepinfra", "", "z-ai/glm-4.7"),
        ("Qwen/Qwen3-32B", "huggingface", "", "qwen/qwen3-32b"),
        ("something-new", "together", "", "together/something-new"),
    ],
)
def test_one_model_has_one_name(upstream: str, author: str, host: str, ours: str) -> None:
    assert NAMER.name(upstream, author, host=host) == ours


def test_squeezed_names_ignore_case_and_punctuation() -> None:
    assert squeeze("OpenAI/GPT-4.1_mini") == "openai/gpt41mini"

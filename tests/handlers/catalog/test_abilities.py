from __future__ import annotations

from handlers.catalog.abilities import Ability, read_abilities, reduce_map

MAP: dict[str, dict[str, object]] = {
    "gpt-9": {
        "litellm_provider": "openai",
        "mode": "responses",
        "max_input_tokens": 1000,
        "max_output_tokens": 50,
        "supports_vision": True,
        "supports_function_calling": True,
        "supports_reasoning": False,
        "input_cost_per_token": 1e-06,
    },
    "sambanova/plain": {
        "litellm_provider": "sambanova",
        "mode": "chat",
        "input_cost_per_token": 6e-07,
        "output_cost_per_token": 1.2e-06,
        "cache_read_input_token_cost": 0.0,
    },
    "dashscope/tiered": {
        "litellm_provider": "dashscope",
        "mode": "chat",
        "tiered_pricing": [
            {"input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07, "range": [0, 256000.0]},
            {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "range": [256000.0, 1000000.0]},
        ],
    },
    "deepinfra/odd": {
        "litellm_provider": "deepinfra",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "input_cost_per_token_above_128k_tokens": 2e-06,
    },
    "someone/else": {"litellm_provider": "someone", "mode": "chat"},
    "claude-9": {
        "litellm_provider": "anthropic",
        "mode": "chat",
        "supports_adaptive_thinking": True,
        "supports_sampling_params": False,
    },
    "gpt-9-chat": {"litellm_provider": "openai", "mode": "chat"},
    "gpt-9.1": {"litellm_provider": "openai", "mode": "chat", "supports_none_reasoning_effort": True},
    "openai/video": {"litellm_provider": "openai", "mode": "video_generation"},
}


def test_the_map_is_reduced_to_what_the_catalogue_needs() -> None:
    reduced = reduce_map(MAP, "model-map/1")
    assert reduced.sources == {
        "openai": {
            "gpt-9": Ability(("chat",), ("tools", "vision"), 1000, 50, responses=True, quirks=("no_sampling",)),
            "gpt-9-chat": Ability(("chat",)),
            "gpt-9.1": Ability(("chat",)),
        },
        "anthropic": {"claude-9": Ability(("chat",), quirks=("adaptive_thinking", "no_sampling"))},
        "sambanova": {"plain": Ability(("chat",), tiers=((0, {"input": "0.6", "output": "1.2"}),))},
        "dashscope": {
            "tiered": Ability(
                ("chat",),
                tiers=((0, {"input": "0.05", "output": "0.4"}), (256000, {"input": "0.25", "output": "2"})),
            )
        },
        "deepinfra": {"odd": Ability(("chat",))},
    }


def test_the_committed_map_knows_the_field() -> None:
    abilities = read_abilities()
    assert abilities.version.startswith("model-map/")
    known = abilities.sources["openai"]["gpt-4o"]
    assert {"tools", "vision", "json_schema"} <= set(known.able)
    assert known.context_tokens == 128_000

"""Every named deviation from a wire format: what a row of the catalogue may say, and what it means.

A quirk is used where it matters and nowhere else; a row of the catalogue carries it, and a test shows what goes wrong without it
(tests/handlers/translation/adapters/test_quirks.py lists quirk by quirk which).
"""

from __future__ import annotations

QUIRKS: dict[str, str] = {
    "adaptive_thinking": "Anthropic, also on Bedrock: thinking by effort; a budget is refused.",
    "cache_control": "OpenAI chat: cache breakpoints on content parts are understood.",
    "counts_unwrapped": "Gemini: countTokens takes the request's own fields, not the request in a field (Vertex).",
    "developer_role": "OpenAI chat: the role `developer` is understood; elsewhere it becomes `system`.",
    "enable_thinking": "OpenAI chat: `enable_thinking` and `thinking_budget` control reasoning (DashScope, SiliconFlow).",
    "json_excludes_tools": "Gemini: structured output and tools exclude each other.",
    "max_completion_tokens": "OpenAI chat: the output cap goes by this name; `max_tokens` is refused.",
    "nine_character_tool_ids": "OpenAI chat: ids of tool calls are exactly nine letters and digits (Mistral).",
    "no_media_urls": "Gemini: addresses of media are not fetched.",
    "no_prefill": "Anthropic, also on Bedrock: an answer that the client began is refused, not continued.",
    "no_sampling": "Temperature, top_p, top_k and penalties are refused.",
    "no_streaming": "Answers come whole.",
    "no_thinking_budget": "Bedrock: the model has no budget for thinking.",
    "normalise_answers": "Answers break the format, so they are decoded and encoded again instead of passed through.",
    "open_parameters": "OpenAI chat: parameters that OpenAI has no word for (top_k, min_p, ...) are understood.",
    "provider_routing": "OpenAI chat: the client's `provider` preferences are for this provider, too (OpenRouter).",
    "reasoning_content_back": "OpenAI chat: earlier reasoning must come back as `reasoning_content`.",
    "reasoning_object": "OpenAI chat: `reasoning` is an object of effort and max_tokens (OpenRouter).",
    "thinking_level": "Gemini: thinking by level instead of budget.",
    "thinking_type": "OpenAI chat: `thinking: {type: enabled}` controls reasoning (Ark, Zhipu, DeepSeek, Moonshot).",
    "thought_signatures": "Gemini: every call in the history needs a thought signature, a documented dummy if need be.",
    "voyage_rerank": "Rerank: `top_k` and `data` instead of `top_n` and `results`.",
}

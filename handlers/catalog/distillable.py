"""Models whose authors let other models be trained on what they write: `provider.enforce_distillable_text`.

A row is a pattern of model ids and the licence that says so. What has no row is not distillable: a licence that is unknown,
closed, or tied to a condition (Llama's, Gemma's) is not a permission that a gateway may read into it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

LICENCES: tuple[tuple[str, str], ...] = (
    ("allenai/olmo*", "Apache-2.0"),
    ("deepseek/deepseek-chat-v3-0324*", "MIT"),
    ("deepseek/deepseek-chat-v3.1*", "MIT"),
    ("deepseek/deepseek-r1", "MIT"),
    ("deepseek/deepseek-r1-0528*", "MIT"),
    ("deepseek/deepseek-r1-zero*", "MIT"),
    ("deepseek/deepseek-r1:free", "MIT"),
    ("deepseek/deepseek-r1-distill-qwen-*", "MIT"),
    ("deepseek/deepseek-v3-0324", "MIT"),
    ("deepseek/deepseek-v3.1*", "MIT"),
    ("deepseek/deepseek-v3.2*", "MIT"),
    ("ibm-granite/granite-*", "Apache-2.0"),
    ("local/smollm2-*", "Apache-2.0"),
    ("microsoft/phi-3*", "MIT"),
    ("microsoft/phi-4*", "MIT"),
    ("minimax/minimax-m1", "Apache-2.0"),
    ("minimax/minimax-m2", "MIT"),
    ("mistralai/devstral-small-25*", "Apache-2.0"),
    ("mistralai/magistral-small-2*", "Apache-2.0"),
    ("mistralai/mistral-7b*", "Apache-2.0"),
    ("mistralai/mistral-nemo*", "Apache-2.0"),
    ("mistralai/mistral-small-24b-*", "Apache-2.0"),
    ("mistralai/mistral-small-3.*-24b-*", "Apache-2.0"),
    ("mistralai/mixtral-*", "Apache-2.0"),
    ("moonshotai/kimi-k2", "MIT with attribution"),
    ("moonshotai/kimi-k2-0905*", "MIT with attribution"),
    ("moonshotai/kimi-k2-instruct*", "MIT with attribution"),
    ("moonshotai/kimi-k2-thinking", "MIT with attribution"),
    ("openai/gpt-oss-*", "Apache-2.0"),
    ("qwen/qwen-2.5-7b-*", "Apache-2.0"),
    ("qwen/qwen-2.5-coder-32b-*", "Apache-2.0"),
    ("qwen/qwen3-*[0-9]b", "Apache-2.0"),
    ("qwen/qwen3-*[0-9]b-a*b*", "Apache-2.0"),
    ("z-ai/glm-4.5", "MIT"),
    ("z-ai/glm-4.5-air", "MIT"),
    ("z-ai/glm-4.6", "MIT"),
    ("z-ai/glm-4.7", "MIT"),
)


@cache
def is_distillable(model: str) -> bool:
    """Whether a row covers this model id."""
    return any(fnmatchcase(model, pattern) for pattern, _ in LICENCES)

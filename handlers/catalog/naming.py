"""One id for one model, whatever its providers call it: `author/slug`, in OpenRouter's spelling where it has one.

Used when data/models.json is made, never while serving.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

AUTHORS: Mapping[str, str] = {
    "amazon": "amazon",
    "deepseek-ai": "deepseek",
    "deepseek": "deepseek",
    "meta": "meta-llama",
    "meta-llama": "meta-llama",
    "mistral": "mistralai",
    "mistralai": "mistralai",
    "minimaxai": "minimax",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "pplx": "perplexity",
    "voyageai": "voyage",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "zai": "z-ai",
    "zai-org": "z-ai",
    "zhipuai": "z-ai",
}
"""Authors as providers write them -> as we do; an author that is not here keeps its name."""

FAMILIES: tuple[tuple[str, str], ...] = (
    ("claude", "anthropic"),
    ("chatgpt", "openai"),
    ("codestral", "mistralai"),
    ("command", "cohere"),
    ("deepseek", "deepseek"),
    ("devstral", "mistralai"),
    ("gemini", "google"),
    ("gemma", "google"),
    ("glm", "z-ai"),
    ("gpt", "openai"),
    ("grok", "x-ai"),
    ("kimi", "moonshotai"),
    ("llama", "meta-llama"),
    ("magistral", "mistralai"),
    ("meta-llama", "meta-llama"),
    ("minimax", "minimax"),
    ("ministral", "mistralai"),
    ("mistral", "mistralai"),
    ("mixtral", "mistralai"),
    ("nemotron", "nvidia"),
    ("phi", "microsoft"),
    ("qwen", "qwen"),
    ("qwq", "qwen"),
    ("sonar", "perplexity"),
    ("whisper", "openai"),
    ("zai-glm", "z-ai"),
)
"""Model families whose name alone tells the author, for providers that write no author."""

SAME: Mapping[str, str] = {
    "llama-3.3-70b-versatile": "meta-llama/llama-3.3-70b-instruct",
    "llama-3.3-70b": "meta-llama/llama-3.3-70b-instruct",
    "llama-3.1-8b-instant": "meta-llama/llama-3.1-8b-instruct",
    "llama3.1-8b": "meta-llama/llama-3.1-8b-instruct",
    "llama-v3p1-8b-instruct": "meta-llama/llama-3.1-8b-instruct",
    "llama-v3p3-70b-instruct": "meta-llama/llama-3.3-70b-instruct",
    "llama3-1-8b-instruct": "meta-llama/llama-3.1-8b-instruct",
    "llama3-1-70b-instruct": "meta-llama/llama-3.1-70b-instruct",
    "llama3-3-70b-instruct": "meta-llama/llama-3.3-70b-instruct",
    "meta-llama-3.3-70b-instruct": "meta-llama/llama-3.3-70b-instruct",
    "meta-llama-3.1-8b-instruct": "meta-llama/llama-3.1-8b-instruct",
    "zai-glm-4.7": "z-ai/glm-4.7",
    "qwen-3-32b": "qwen/qwen3-32b",
    "qwen-3.8-27b": "qwen/qwen3.8-27b",
}
"""Names that no rule maps: the slug as a provider writes it -> the model's id."""

_VERSION = re.compile(r"(-v\d+)?(:\d+)?$")
_PRECISION = re.compile(r"-(turbo|lite|fp8|nvfp4|bf16)$")
_PLACE = re.compile(r"^(us|eu|apac|global|regional)\.")
_DATE = re.compile(r"-\d{8}$")
_DECIMAL = re.compile(r"(?<=\d)p(?=\d)")


def squeeze(name: str) -> str:
    """A name without case and punctuation: what two spellings of one name share."""
    return re.sub(r"[^a-z0-9/]", "", name.lower())


class Namer:
    """Maps a provider's name of a model to our id; `known` are ids whose spelling is preferred."""

    def __init__(self, known: Iterable[str]) -> None:
        self._spelling = {squeeze(name): name for name in sorted(known)}

    def name(self, upstream: str, author: str, *, host: str = "") -> str:
        """Our id of a model.

        Args:
            upstream: the provider's name.
            author: who makes the models of this provider when the name does not tell.
            host: `bedrock` and `fireworks` write names in ways of their own.
        """
        plain = upstream.lower().removeprefix("accounts/fireworks/models/")
        if host == "bedrock":
            maker, _, plain = _PLACE.sub("", plain).partition(".")
            plain = _VERSION.sub("", plain)
            author = AUTHORS.get(maker, maker)
            undated = _DATE.sub("", plain)
            known = squeeze(f"{author}/{undated}") in self._spelling
            return self._spell(author, undated if known else plain)
        if host == "fireworks":
            plain = SAME.get(plain) or _DECIMAL.sub(".", plain)
        maker, slash, slug = plain.partition("/")
        if not slash:
            slug = maker
            maker = next((maker for prefix, maker in FAMILIES if slug.startswith(prefix)), author)
        return self._spell(AUTHORS.get(maker, maker), slug)

    def _spell(self, author: str, slug: str) -> str:
        slug = slug.replace("/", "-").replace("@", "-")
        same = SAME.get(slug)
        if same is not None:
            return same
        for candidate in (slug, _PRECISION.sub("", slug), slug.removeprefix("meta-")):
            spelling = self._spelling.get(squeeze(f"{author}/{candidate}"))
            if spelling is not None:
                return spelling
        return f"{author}/{slug}"

"""One request for an answer, in terms that every dialect can fill and every adapter can read.

All values are frozen: the same request serves every attempt. JSON that only models read (tool schemas, metadata) stays
`msgspec.Raw`, byte for byte. Paths in `at` fields name the client's own field, for errors that point at it.
"""

from __future__ import annotations

import msgspec


class CacheControl(msgspec.Struct, frozen=True, gc=False):
    """A cache breakpoint after the part that carries it."""

    ttl: str = "5m"
    """5m | 1h."""


class Text(msgspec.Struct, frozen=True):
    """Readable text."""

    text: str
    cache: CacheControl | None = None


class Media(msgspec.Struct, frozen=True):
    """An image, a document, a sound or a film: never decoded, never fetched. Exactly one of `url` and `data` is set."""

    kind: str
    """image | document | audio | video."""
    at: str
    """The client's field, such as `messages[2].content[0].image_url.url`."""
    url: str = ""
    """An address that the provider fetches."""
    data: str = ""
    """Base64."""
    media_type: str = ""
    detail: str = ""
    """auto | low | high, for images."""
    name: str = ""
    """File name or title."""
    cache: CacheControl | None = None


class ToolCall(msgspec.Struct, frozen=True):
    """The model asked for a tool."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; may be invalid, and then goes back as it came where the format allows."""
    at: str = ""
    signature: str = ""
    """Gemini's thoughtSignature."""
    cache: CacheControl | None = None


class ToolResult(msgspec.Struct, frozen=True):
    """What the tool answered."""

    call_id: str
    parts: tuple[Text | Media, ...]
    at: str = ""
    is_error: bool = False
    name: str = ""
    cache: CacheControl | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """Earlier reasoning of the model, going back to it."""

    text: str = ""
    signature: str = ""
    data: str = ""
    """Encrypted or redacted reasoning; then `text` is empty or a summary."""
    id: str = ""
    form: str = "text"
    """text | summary | encrypted."""
    origin: str = ""
    """Who made the proof and alone accepts it: anthropic | openai | google; empty: unknown."""


class Refusal(msgspec.Struct, frozen=True):
    """Earlier refusal of the model."""

    text: str


Part = Text | Media | ToolCall | ToolResult | Reasoning | Refusal


class Message(msgspec.Struct, frozen=True):
    """One turn. `tool` turns hold ToolResult parts only; `system` and `developer` hold Text only."""

    role: str
    """system | developer | user | assistant | tool."""
    parts: tuple[Part, ...]
    at: str = ""
    name: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: msgspec.Raw | None = None
    """JSON schema; None: no parameters."""
    strict: bool | None = None
    cache: CacheControl | None = None
    at: str = ""


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools may, must or must not be called."""

    mode: str
    """auto | required | none | named."""
    name: str = ""


class ResponseFormat(msgspec.Struct, frozen=True):
    """The shape that the text must have."""

    kind: str
    """text | json_object | json_schema."""
    name: str = "response"
    schema: msgspec.Raw | None = None
    description: str = ""
    strict: bool | None = None


class ReasoningControl(msgspec.Struct, frozen=True):
    """How much the model should think."""

    effort: str = ""
    """none | minimal | low | medium | high | xhigh | max, or empty."""
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool = False
    """Think, and do not show it."""
    summary: str = ""
    """auto | concise | detailed."""


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How tokens are drawn; None: the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    top_a: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: msgspec.Raw | None = None


class CanonicalRequest(msgspec.Struct, frozen=True):
    """What the client asked for."""

    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool = True
    """A streaming client wants the usage (always true outside OpenAI's chat)."""
    padded: bool = False
    """A streaming client wants its events padded."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: ReasoningControl | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    output_tokens_max: int | None = None
    choices: int = 1
    user: str = ""
    service_tier: str = ""
    verbosity: str = ""
    cache_key: str = ""
    modalities: tuple[str, ...] = ()
    extensions: dict[str, msgspec.Raw] = {}
    """Top-level fields that the dialect knows and the canonical request has no word for, by the client's name."""
    unknown: tuple[str, ...] = ()
    """Top-level fields that the dialect does not know."""

    def __repr__(self) -> str:
        """Counts, never content."""
        return f"CanonicalRequest({len(self.messages)} messages, {len(self.tools)} tools)"

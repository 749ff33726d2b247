"""What the gateway counts. Label values are enumerations; no model, key or tenant ever becomes a series."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from handlers.errors import FAILURES
from handlers.gateway.usage_line import UsageLine
from handlers.telemetry.metrics import Count, Counter, Distribution, Gauge, Histogram, Registry
from handlers.transport.memo import Memo

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_RATES = (1.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_280.0)
_STATUSES = (
    "400",
    "401",
    "402",
    "403",
    "404",
    "405",
    "408",
    "409",
    "413",
    "414",
    "415",
    "422",
    "429",
    "431",
    "500",
    "503",
)
_Row = tuple[Count, Count, Count, Count, Distribution, Distribution]
"""The series that lines of one kind are counted in: requests, tokens in and out, cost, seconds of all and to the first event."""


class GatewayMetrics:
    """The metrics of one gateway process; names follow the OpenTelemetry gen_ai conventions where those have one."""

    def __init__(self, providers: Iterable[str]) -> None:
        self.registry = registry = Registry()
        self._rows: Memo[tuple[str, str | None, bool], _Row] = Memo(self._row)
        slugs = tuple(providers)
        outcomes = ("ok", *sorted({rule.code for rule in FAILURES.values()}))
        self.requests = registry.add(
            Counter(
                "therouter_requests_total",
                "Requests that reached a provider, by outcome.",
                {"provider": slugs, "outcome": outcomes, "stream": ("true", "false")},
            )
        )
        self.refusals = registry.add(
            Counter("therouter_refusals_total", "Requests refused before a provider was asked.", {"status": _STATUSES})
        )
        self.tokens = registry.add(
            Counter(
                "gen_ai_client_token_usage_total",
                "Tokens metered.",
                {"provider": slugs, "gen_ai_token_type": ("input", "output")},
            )
        )
        self.cost = registry.add(
            Counter("therouter_cost_nano_total", "Nano-units of currency charged.", {"provider": slugs})
        )
        self.duration = registry.add(
            Histogram(
                "gen_ai_server_request_duration_seconds",
                "From first byte in to last byte out.",
                _SECONDS,
                {"provider": slugs},
            )
        )
        self.first_event = registry.add(
            Histogram(
                "gen_ai_server_time_to_first_token_seconds",
                "To the first semantic event.",
                _SECONDS,
                {"provider": slugs},
            )
        )

        self.rate = registry.add(
            Histogram(
                "therouter_output_tokens_per_second",
                "Of streamed answers, after the first event.",
                _RATES,
                {"provider": slugs},
            )
        )
        self.failed_attempts = registry.add(
            Counter(
                "therouter_failed_attempts_total",
                "Attempts that failed, whether or not another one served the request.",
                {"provider": slugs, "code": outcomes[1:]},
            )
        )

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A number that is read when the metrics are scraped."""
        self.registry.add(Gauge(name, meaning, read))

    def count(self, line: UsageLine) -> None:
        """Everything that one usage line says."""
        kind = line.provider, line.error_type, line.stream
        requests, input_tokens, output_tokens, cost_nano, duration_s, first_event_s = self._rows[kind]
        requests.value += 1
        input_tokens.value += line.prompt_tokens
        output_tokens.value += line.completion_tokens
        cost_nano.value += line.cost_nano
        duration_s.observe(line.latency_ms / 1000)
        if line.first_event_ms is not None:
            first_event_s.observe(line.first_event_ms / 1000)

    def _row(self, kind: tuple[str, str | None, bool]) -> _Row:
        provider, failure, stream = kind
        return (
            self.requests.series(provider, failure or "ok", "true" if stream else "false"),
            self.tokens.series(provider, "input"),
            self.tokens.series(provider, "output"),
            self.cost.series(provider),
            self.duration.series(provider),
            self.first_event.series(provider),
        )

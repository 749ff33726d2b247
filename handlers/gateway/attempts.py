"""What a plan consists of: frozen values, made once for many requests and read by every stage behind the planner."""

from __future__ import annotations

from dataclasses import dataclass, field

from handlers.catalog.entries import Endpoint, Provider


@dataclass(frozen=True)
class Attempt:
    """One try at one endpoint with one credential."""

    endpoint: Endpoint
    provider: Provider
    credential: str
    """shared | byok"""
    record: str
    """Id of the BYOK record, or empty."""

    @property
    def health_key(self) -> str:
        """Each BYOK credential has its own health, so a dead one concerns nobody else."""
        return f"byok:{self.record}" if self.record else self.credential

    @property
    def wire_format(self) -> str:
        """The adapter that the pod uses."""
        return self.endpoint.wire_format or self.provider.wire_format


@dataclass(frozen=True)
class RoutePlan:
    """The ordered attempts of one request."""

    attempts: tuple[Attempt, ...]
    details: tuple[tuple[str, str], ...]
    """(endpoint id, reason) for each endpoint not chosen."""
    seed: int
    """Of the draw; 0 when there was nothing to draw from."""
    catalog_version: str
    conversation: bytes = b""
    """The name to remember who served it by; empty when there was no choice."""
    shared: tuple[Endpoint, ...] = field(init=False, repr=False, compare=False)
    """The endpoints that are called with our credentials."""
    own: tuple[Endpoint, ...] = field(init=False, repr=False, compare=False)
    """The endpoints that are called with the customer's own credentials."""

    def __post_init__(self) -> None:
        """Tell apart whose credentials the endpoints are called with."""
        shared = tuple([attempt.endpoint for attempt in self.attempts if attempt.credential == "shared"])
        own = tuple([attempt.endpoint for attempt in self.attempts if attempt.credential != "shared"])
        object.__setattr__(self, "shared", shared)
        object.__setattr__(self, "own", own)

    @property
    def excluded(self) -> dict[str, int]:
        """Reason -> how many endpoints it excluded."""
        return counted(self.details)


def counted(details: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """How often each reason occurs."""
    excluded: dict[str, int] = {}
    for _, reason in details:
        excluded[reason] = excluded.get(reason, 0) + 1
    return excluded

"""Every bound of the byte path in one place; sources: security.md 4.2 and the abuse cases A20-A31.

Times are seconds for what a whole server or pool shares, and milliseconds for one call (they come from the catalogue).
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one client connection may do to us."""

    request_line_bytes: int = 8 * KIB
    header_section_bytes: int = 32 * KIB
    """All header lines together, without the request line."""
    headers: int = 100
    head_s: float = 10.0
    """From the first byte of a request to the end of its head."""
    body_grace_s: float = 10.0
    """From the end of the head until the body's average rate is judged."""
    body_bytes_per_s: int = 1 * KIB
    keep_alive_s: float = 75.0
    """How long a connection may stay silent between requests."""
    write_stall_s: float = 60.0
    """How long a client may leave our write buffer above its low mark, or a closing connection unflushed."""
    linger_s: float = 2.0
    """After a refusal we discard what the client still sends, so that it can read the answer."""
    pipelined_bytes: int = 64 * KIB
    """Kept while a response is under way; a client that sends more is disconnected after that response."""
    connections: int = 10_000
    sweep_s: float = 1.0
    """The resolution of every time above."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one pool may open, and how much of a response it accepts outside the body."""

    connections_per_origin: int = 2048
    waiting_per_origin: int = 512
    """Calls that wait for a connection; the next one fails at once."""
    idle_s: float = 45.0
    header_section_bytes: int = 64 * KIB
    headers: int = 256
    informational: int = 16
    """1xx responses before the final one."""
    sweep_s: float = 0.1
    """The resolution of every deadline."""


@dataclass(frozen=True, slots=True)
class CallDeadlines:
    """Milliseconds for each phase of one upstream call, counted from `send` (connect, total) or from the phase's start."""

    connect_ms: int = 5_000
    """Waiting for a free connection, DNS, TCP and TLS together."""
    headers_ms: int = 30_000
    """From the request's last byte handed to the socket to the end of the response head."""
    between_bytes_ms: int = 60_000
    """Silence within the body; time in which the caller paused reading does not count."""
    total_ms: int = 600_000

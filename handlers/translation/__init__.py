"""Translation between what clients speak and what providers speak. Pure: no socket, clock, environment or randomness.

    canonical   the values in the middle: request, events, usage
    framing     bytes -> frames (server-sent events, AWS event stream, JSON lines), tested at every byte boundary
    dialects    client-facing formats: bytes -> canonical request; canonical events -> bytes
    adapters    upstream formats: canonical request -> upstream request; upstream bytes -> canonical events

N dialects + M adapters, never N x M pairs. The ten laws that each adapter and dialect obeys are tests: tests/laws.
"""

"""Translation between what clients speak and what providers speak. Pure: no socket, clock, environment or randomness.

    canonical   the values in the middle: request, events, usage
    framing     bytes -> frames (server-sent events, AWS event stream, JSON lines), tested at every byte boundary
    dialects    client-facing formats: bytes -> canonical request; canonical events -> bytes
    adapters    upstream formats: canonical request -> upstream request; upstream bytes -> canonical events
    passthrough formats that client and provider share: the request is edited, the answer forwarded and observed
    assembly    likewise, where a stream becomes one body: frames -> the whole answer, no field lost
    operations  what is no conversation: one request, one answer

    exchange    the façade: one call makes the upstream request and the machine that turns its answer around
    registry    which of all these there are

N dialects + M adapters, never N x M pairs. The ten laws that each adapter and dialect obeys are tests: tests/laws.
"""

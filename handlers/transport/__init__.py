"""The byte path: HTTP/1.1 on bare asyncio protocols, and the internal wire between gateway and provider pods.

    server.py              the HTTP server: listening, sweeping deadlines, draining
    server_connection.py   one client connection: strict framing, limits, back-pressure, one request at a time
    exchange.py            one request and the responder for it: what rooms see
    request_head.py        the strict gate for request heads
    client.py              upstream calls and the pool of connections per origin
    client_connection.py   one upstream connection, destroyed on any doubt
    requests.py            request heads for upstreams, written
    responses.py           response heads, written and read
    header_fields.py       header sections, written and read: the one place that knows what a line may hold
    bodies.py              collecting bodies, undoing chunked framing
    wire.py, frames.py     the frames between gateway and pod, the messages inside them, and their bytes
    wire_client.py, wire_server.py   the two ends of a wire connection
    memo.py                what a pure function said, bounded: kept for who asks the same again
    addresses.py, limits.py          where to listen and connect; every bound

Nothing here knows a dialect, a key or a price. Owning HTTP means owning its tests: tests/handlers/transport.
"""

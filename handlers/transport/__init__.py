"""The byte path: HTTP/1.1 on bare asyncio protocols, and the internal wire between gateway and provider pods.

    server.py   one protocol object per client connection: strict framing, limits, back-pressure, one request at a time
    client.py   one protocol object per upstream connection, pooled per origin, destroyed on any doubt
    wire.py     the frames between gateway and pod, and the messages inside them
    wire_client.py, wire_server.py   the two ends of a wire connection

Nothing here knows a dialect, a key or a price. Owning HTTP means owning its tests: tests/handlers/transport.
"""

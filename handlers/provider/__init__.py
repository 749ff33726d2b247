"""ROOM: one process per provider: verify the wire token, translate, sign, call, decode. No database, no money."""

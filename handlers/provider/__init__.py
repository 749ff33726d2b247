"""ROOM: one process per provider: verify the wire token, translate, sign, call, decode. No database, no money.

pod.py          the process: settings, catalogue and secrets -> the room, which serves the wire until SIGTERM
room.py         admits requests of gateways, begins attempts, keeps their coarse clock
kinds.py        what requests have in common, worked out once
attempt.py      one attempt: upstream bytes through a translation into frames; plain_attempt.py: one text, collected
credentials.py  the secrets of a pod; signing.py: how its provider knows us by them (sigv4.py)
"""

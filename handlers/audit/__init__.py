"""The audit trail's mathematics: pure, shared by those who write the trail, seal it, and check it offline.

merkle.py        the tree over the trail's leaves (RFC 6962), kept as its frontier
notes.py         checkpoints as signed notes (C2SP signed-note and tlog-checkpoint, Ed25519)
lineage.py       the keys that sign, each handing over to the next
verification.py  an exported trail against itself and its checkpoints
"""

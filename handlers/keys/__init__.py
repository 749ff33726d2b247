"""API keys of ours, and sealing of our customers' provider keys.

grammar.py       the one shape of a key; checksum and mint tag; no I/O
hashing.py       bcrypt over a domain-separated SHA-256, in a bounded pool
verification.py  who is this: grammar -> region -> tag -> cache -> row -> bcrypt, in that order and no other
waiting.py       the same for rooms that are not asynchronous;  addresses.py: keys that are bound to IP ranges
principal.py     the answer: a `Principal`, which cannot be built empty
wire_token.py    the short-lived token that a provider pod demands of the gateway
sealing.py       seal a provider key to a public key (admin room);  opening.py: open it (provider rooms only)
first.py         the first version of every secret that is ours;  rotation.py: the next
"""

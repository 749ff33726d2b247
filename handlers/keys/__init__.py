"""API keys of ours, and sealing of our customers' provider keys.

grammar.py       the one shape of a key; checksum and mint tag; no I/O
hashing.py       bcrypt over a domain-separated SHA-256, in a bounded pool
verification.py  who is this: grammar -> tag -> region -> cache -> row -> bcrypt, in that order and no other
principal.py     the answer: a `Principal`, which cannot be built empty
wire_token.py    the short-lived token that a provider pod demands of the gateway
sealing.py       seal a provider key to a public key (admin room);  opening.py: open it (provider rooms only)
"""

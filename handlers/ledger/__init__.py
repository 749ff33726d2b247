"""Money in integers of nano-units: quote, hold, rate, settle, limits. Pure; the entries themselves live in the store.

rating.py     usage and price -> charge, rounded up once
quote.py      the most a plan can cost, and the output that a balance affords
allowance.py  credit leased from the database, handed out in memory
limits.py     requests and tokens per minute, concurrent requests
"""

"""PostgreSQL: the only state there is.

Nouns
    *Migration*: a numbered `.sql` file, applied once (`migrate.py`). *Statement*: a named constant query (`queries/*.sql`,
    `statements.py`). *Session*: one connection with its prepared statements (`session.py`). *Pool*: sessions behind threads,
    destroyed on doubt (`pool.py`). *Refusal*: what a database error means in our words (`refusals.py`).
    *Façade*: the typed methods of one room (`gateway.py`, `admin.py`, `payments.py`, `operations.py`).

Rules
    A room's role may EXECUTE its functions and nothing else; the functions belong to an owner that nobody logs in as. Who
    may execute what is a table in `tests/handlers/store/test_grants.py`.
    Money is integers of 10^-9; each movement is two entries under one key; a usage row is the once-only token of its
    request (`migrations/0002` to `0005`). `ledger_check()` says which sums must be equal.
    No column can hold a body, and no value of a request reaches the server's log.

To add a function: a migration of your number range, its statement in `queries/`, its line in the table of grants, its
method in the room's façade.
"""

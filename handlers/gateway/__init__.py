"""ROOM: the gateway. Authenticate -> authorize -> plan -> hold -> dispatch -> meter -> record.

    routes.py       which paths exist, their dialect, method and body limit
    gate.py         read: the strict gate before anything is decided; returns a `Call`
    authorize.py    what this key may do with this call; returns a `Grant`
    plan.py         ordered attempts; pure, reproducible from snapshot version and seed; preferences.py is what clients may ask
    credit.py       hold: balance leased from PostgreSQL in blocks, sub-allocated in memory
    passage.py      dispatch and meter: one request's way through its attempts, driven by wire callbacks
    recorder.py     record: spool before the client hears "finished", settle afterwards, replay after a crash; spool.py
    health.py       breakers, cool-downs and live figures per endpoint and credential
    refusals.py     errors in the client's dialect
    pipeline.py     the order of all this, and nothing clever
    queries.py      GET routes: models, key, generation
    room.py         builds the parts, starts and drains them

The gateway sees every key and every prompt, so it parses almost nothing: a handful of top-level fields, no dialect, no answer.
"""

"""ROOM: the gateway. Authenticate -> authorize -> plan -> hold -> dispatch -> meter -> record.

    routes.py       which paths exist, their dialect, method and body limit
    gate.py         read: the strict gate before anything is decided; returns a `Call`
    arrival.py      what a head alone says, noted on it for all requests that repeat it
    authorize.py    what this key may do with this call; returns a `Grant`
    byok.py         which of an account's own provider keys may serve it; rates.py counts its requests and tokens per minute
    plan.py         who may serve it (eligibility.py), in which order (ordering.py); pure; preferences.py is what clients may ask
    sticky.py       conversations return to who served them; makers.py: provider-bound material to whose credential made it
    credit.py       hold: balance leased from PostgreSQL in blocks, sub-allocated in memory
    passage.py      dispatch and meter: one request's way through its attempts, driven by wire callbacks; dispatch.py is
                    what a pod is told, disclosure.py what the client is told about who served it or failed to
    retries.py      the budget of failed fallbacks; concurrency.py how many requests one pod gets at a time
    recorder.py     record: spool before the client hears "finished", settle afterwards, replay after a crash; spool.py
    health.py       breakers, cool-downs, quarantine per endpoint and credential; figures.py live figures of all replicas
    overload.py     what is refused, in which order, while this process cannot keep up
    refusals.py     errors in the client's dialect
    pipeline.py     the order of all this, and nothing clever
    queries.py      GET routes: models, key, generation
    room.py         builds the parts, starts and drains them

The gateway sees every key and every prompt, so it parses almost nothing: a handful of top-level fields, no dialect, no answer.
"""

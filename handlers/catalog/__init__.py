"""Providers, models, endpoints and prices: data with a schema, no I/O but reading files of this package.

*Provider*: who we call, where, with which auth scheme and wire format; a row of `providers.toml`.
*Model*: what a client asks for, `author/slug`. *Endpoint*: one model at one provider, with its price and abilities.
*Catalog*: one immutable snapshot of all of these for one region, with a version.

A provider that speaks a known wire format is one row. A new wire format is one file in translation/adapters.

    entries.py      the shapes            rows.py        the schema of the files        loading.py  rows -> a checked snapshot
    names.py        finding a model       discovery.py   models found at run time
    generate.py     genai-prices -> data/models.json; abilities.py and naming.py are for it alone, never for serving
    elsewhere.py    what only the other region has, so that it is refused by name
    distillable.py  models whose answers may train others
"""

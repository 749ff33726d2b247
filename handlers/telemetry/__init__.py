"""Logs and metrics with a closed schema: named, typed, enumerated fields, and no free text.

    logs.py     what may be logged: one frozen struct per event; one JSON line each
    metrics.py  counters and histograms whose label values are enumerations; Prometheus text
    redaction.py  the second line: key-shaped text is overwritten on its way out

There is no call that takes a message or an exception. What an event cannot say is not logged.
"""

"""Formats that a client speaks and a provider understands alike: the request is edited, the answer forwarded and observed."""

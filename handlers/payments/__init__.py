"""ROOM: the only place that talks to Stripe (global) and WeChat Pay (china)."""

"""The whole system on one machine, one command; the only place that starts processes."""

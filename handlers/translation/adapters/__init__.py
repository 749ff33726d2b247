"""Upstream wire formats: canonical request -> upstream request, upstream bytes -> canonical events."""

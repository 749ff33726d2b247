"""Logs, metrics and traces with a closed schema: named, typed, enumerated fields, and no free text."""

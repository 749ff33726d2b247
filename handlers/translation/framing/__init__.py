"""Bytes to frames, at any splitting of the bytes."""

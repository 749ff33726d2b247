"""Client-facing API formats: bytes -> canonical request, canonical events -> bytes."""

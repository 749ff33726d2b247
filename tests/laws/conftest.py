"""Every request for Google that a test here builds is judged by Google's own schema."""

from tests.judges.google_discovery import google_requests_are_judged

__all__ = ["google_requests_are_judged"]

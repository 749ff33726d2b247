"""The values in the middle of every translation: one request, one vocabulary of events, one usage."""

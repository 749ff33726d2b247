"""The mirror in Hangzhou."""

"""The `therouter` command."""


def main() -> int:
    """Run one command; returns its exit code."""
    return 0

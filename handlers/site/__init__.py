"""ROOM: trust page, console, documentation and security.txt."""

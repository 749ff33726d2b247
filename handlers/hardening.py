"""What a process that sees prompts and keys gives up before it sees any (C7): dumps, debuggers, readable sockets."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys

_PR_SET_DUMPABLE = 4
SWITCH_S = 0.0005
"""How long a thread that settles, hashes or decodes may keep the interpreter from the event loop (Python's own: 5 ms)."""


def harden_process() -> None:
    """No core dump, no other process of the same user reading our memory, no file or socket of ours for others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def settle_memory() -> None:
    """After start: what lives now lives for good, so collections need not look at it, and may be rarer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(SWITCH_S)

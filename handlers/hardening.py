"""What a process that sees prompts and keys gives up before it sees any (C7): dumps, debuggers, readable sockets."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys

import msgspec

_PR_SET_DUMPABLE = 4
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LARGE_BYTES, FREED_BYTES_KEPT = 4 * 1024 * 1024, 16 * 1024 * 1024
SWITCH_S = 0.0005
"""How long a thread that settles, hashes or decodes may keep the interpreter from the event loop (Python's own: 5 ms)."""


def harden_process() -> None:
    """No core dump, no other process of the same user reading our memory, no file or socket of ours for others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def learn_shapes() -> None:
    """Let msgspec look at every shape that is known now, while there is one thread.

    Of several threads that are the first to use a shape at the same time, one finds it half made: the process crashes (0.22).
    """
    shapes: list[type[msgspec.Struct]] = [msgspec.Struct]
    for shape in shapes:
        shapes += shape.__subclasses__()
        with contextlib.suppress(TypeError, NameError):  # not meant to be read
            msgspec.json.Decoder(shape)


def settle_memory() -> None:
    """After start: what lives now lives for good, so collections need not look at it, and may be rarer."""
    learn_shapes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    _keep_freed_memory()
    sys.setswitchinterval(SWITCH_S)


def _keep_freed_memory() -> None:
    """Buffers of large prompts come from memory that is there already: new pages would cost more than all work on a prompt.

    At most FREED_BYTES_KEPT stay with the process; buffers above LARGE_BYTES still come and go by themselves. Only glibc
    needs, and has, these knobs.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_M_MMAP_THRESHOLD, LARGE_BYTES)
        adjust(_M_TRIM_THRESHOLD, FREED_BYTES_KEPT)

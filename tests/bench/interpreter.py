"""Which interpreter runs the bench: the fastest here of the environment's own version.

Theory of operation
    The image's Python is built with profiles (`--enable-optimizations`), as nginx is built with its distribution's best
    flags. A Python that somebody built on their own machine mostly is not, and takes a third longer for the same bytecode:
    what it shows is neither the image's cost nor a fair neighbour for nginx. How one was built cannot be asked (a
    distribution leaves it out of its build's record), so a small loop is timed in each. Python 3.N takes the packages of
    any other 3.N, so the faster one borrows those of the environment; nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

WORTH_IT = 0.9
"""Another interpreter is taken for at most this share of our own time: less than that is chance."""
TURNS = 7
"""In turn, and the least counts: on a shared machine a whole process can fall into a slow moment."""
CHOSEN = "THEROUTER_BENCH_INTERPRETER"
"""Set while the bench runs in an interpreter that was chosen, so that nothing is chosen twice; whoever sets it stays."""
_SYSTEM = ("/usr/local/bin", "/usr/bin")
_PATIENCE_S = 20.0
_PROBE = """
import os, sys, time
def work():
    began, kept = time.perf_counter(), {}
    for number in range(100_000):
        kept[number & 255] = (number, str(number))
    return time.perf_counter() - began
print(*sys.version_info[:2], min(work() for _ in range(3)), os.path.realpath(sys.executable))
"""


def run_in_fastest(folder: Path) -> None:
    """Go on in the fastest interpreter, in an environment in this folder; returns only where that is the present one."""
    if CHOSEN in os.environ:
        return
    own = Path(sys.executable)
    chosen = fastest(own, candidates(os.get_exec_path()))
    if chosen == own:
        return
    try:
        python = borrow(chosen, folder)
    except (OSError, subprocess.SubprocessError):
        print(f"{chosen} is faster, but makes no environment: the bench stays with {own}", file=sys.stderr)
        return
    os.execve(python, [str(python), *sys.orig_argv[1:]], {**os.environ, CHOSEN: str(chosen)})


def candidates(directories: Iterable[str]) -> list[Path]:
    """The interpreters of our version on a search path and where systems keep theirs."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = (shutil.which(name, path=directory) for directory in dict.fromkeys((*directories, *_SYSTEM)))
    return list(dict.fromkeys(Path(path).resolve() for path in found if path))


def fastest(own: Path, others: Iterable[Path]) -> Path:
    """Whichever takes least time for a small loop: our own, unless another is clearly faster."""
    least_s: dict[Path, float] = {}
    for _ in range(TURNS):
        for python in (own, *others):
            found = _probe(python)
            if found is not None:
                least_s[found[0]] = min(found[1], least_s.get(found[0], found[1]))
    best = min(least_s, key=least_s.__getitem__)
    return best if least_s[best] <= WORTH_IT * least_s[own.resolve()] else own


def borrow(python: Path, folder: Path) -> Path:
    """Make an environment of this interpreter that finds our own environment's packages; the path of its executable."""
    command = [str(python), "-m", "venv", "--clear", "--without-pip", str(folder)]
    subprocess.run(command, check=True, timeout=_PATIENCE_S)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def _probe(python: Path) -> tuple[Path, float] | None:
    """The real path of an interpreter of our version and the seconds that it takes; None for what is none."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-S", "-c", _PROBE], capture_output=True, text=True, check=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, seconds, path = done.stdout.rstrip("\n").split(" ", 3)
    return (Path(path), float(seconds)) if (int(major), int(minor)) == sys.version_info[:2] else None

"""What processes cost: processor time and memory of whole process trees, read from /proc."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def tree(roots: list[int]) -> list[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(roots)
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_us(roots: list[int]) -> float:
    """Microseconds that every thread of the trees has run so far, to the nanosecond."""
    total = 0
    for pid in tree(roots):
        for schedstat in (PROC / str(pid) / "task").glob("*/schedstat"):
            try:
                total += int(schedstat.read_text().split()[0])
            except OSError:
                continue
    return total / 1000


def pss_kib(roots: list[int]) -> int | None:
    """Proportional set size of the trees in KiB; None when this user may not read it (hardened processes)."""
    total = 0
    for pid in tree(roots):
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except PermissionError:
            return None
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total

"""What processes cost: CPU seconds and memory of whole process trees, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree(roots: Iterable[int]) -> set[int]:
    """The process ids of `roots` and all that descend from them, as far as they still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and Path(f"/proc/{pid}").exists():
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def seconds(roots: Iterable[int]) -> float:
    """User and system seconds of the trees of `roots`, children that have ended included."""
    ticks = 0
    for pid in tree(roots):
        fields = _stat(pid)
        ticks += sum(map(int, fields[11:15])) if fields else 0
    return ticks * TICK_S


def machine_seconds() -> float:
    """Seconds that all cores together have been busy since they started, stolen time of a virtual machine included."""
    user, nice, system, _idle, _io_wait, irq, soft_irq, steal = map(int, _machine()[:8])
    return (user + nice + system + irq + soft_irq + steal) * TICK_S


def pss_bytes(roots: Iterable[int]) -> int:
    """Proportional memory of the trees of `roots`, in bytes."""
    total = 0
    for pid in tree(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def _machine() -> list[str]:
    return Path("/proc/stat").read_text().splitlines()[0].split()[1:]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; none if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []

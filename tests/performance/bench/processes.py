"""What the operating system says of the machine and of a tree of processes. Linux: /proc; elsewhere: ps."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    pid: int
    parent: int
    cpu_s: float
    """User and system time since its start."""
    memory_mb: float
    """Resident, shared pages included."""
    command: str


def machine() -> dict[str, Any]:
    """Cores that this process may use and how fast they are, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": cores,
        "memory_mb": memory // 2**20,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "python_loop_ns": round(min(timeit.repeat("x += 1", "x = 0", number=10**6, repeat=9)) * 1000, 1),
    }


def descendants(root: int) -> list[Process]:
    """``root`` and everything that it started, directly or not; those that ended meanwhile are left out."""
    processes = table()
    family, grown = {root}, True
    while grown:
        children = {process.pid for process in processes if process.parent in family}
        grown = not children <= family
        family |= children
    return [process for process in processes if process.pid in family]


def table() -> list[Process]:
    """All processes of the machine that this user may see."""
    return _from_proc() if sys.platform == "linux" else _from_ps()


def _from_proc() -> list[Process]:
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name in parentheses may hold spaces: fields count from the last one. See proc(5), "stat".
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found.append(
            Process(
                pid=int(folder.name),
                parent=int(fields[1]),
                cpu_s=(int(fields[11]) + int(fields[12])) / ticks_per_second,
                memory_mb=int(fields[21]) * page_bytes / 2**20,
                command=command.strip(),
            )
        )
    return found


def _from_ps() -> list[Process]:
    columns = ["ps", "-axwwo", "pid=,ppid=,time=,rss=,command="]
    found = []
    for line in subprocess.run(columns, capture_output=True, text=True, check=True).stdout.splitlines():
        if len(line.split(None, 4)) < 4 or not line.split(None, 1)[0].isdigit():
            continue  # the rest of a command with a line break in it
        pid, parent, time, memory_kb, command = (*line.split(None, 4), "")[:5]
        seconds = 0.0
        for part in time.replace("-", ":").split(":"):  # [[dd-]hh:]mm:ss.cc; days are beyond any benchmark
            seconds = seconds * 60 + float(part)
        found.append(
            Process(
                pid=int(pid),
                parent=int(parent),
                cpu_s=seconds,
                memory_mb=int(memory_kb) / 1024,
                command=command.strip(),
            )
        )
    return found

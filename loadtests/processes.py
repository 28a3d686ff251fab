"""CPU seconds by process, from /proc: what a payment costs each part of the system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    command: str
    cpu_s: float


def table() -> dict[int, Process]:
    """All processes of this machine that we may look at."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text()
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:
            continue  # it ended while we looked
        fields = stat.rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
        found[int(folder.name)] = Process(int(folder.name), int(fields[1]), command, cpu)
    return found


def below(pid: int, processes: dict[int, Process]) -> list[Process]:
    """The process `pid` and everything it started."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, todo = [], [pid]
    while todo:
        here = todo.pop()
        if here in processes:
            found.append(processes[here])
        todo.extend(children.get(here, []))
    return found

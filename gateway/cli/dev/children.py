"""The processes that `tillgate dev` starts: each in a session of its own, so that Ctrl-C reaches
dev alone and dev ends them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.embedded.tail import tail

STOP_S = 30.0  # longer than a worker's own bound
# A child that dies sooner after its start has not done its work in between.
STEADY_S: Final = 60.0
DEATHS_MAX: Final = 3  # in a row: a fault that does not go away by itself
# Where `-m gateway` and `-m sandbox` are found without an installation.
STARTED_FROM = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Program:
    """`python -m …`, what it is called, and where it writes."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path


@dataclass(slots=True)
class Deaths:
    """How often a child died in a row."""

    count: int = 0

    def note(self, lived_s: float) -> bool:
        """One more, after it lived so long; whether it is worth another try."""
        self.count = self.count + 1 if lived_s < STEADY_S else 1
        return self.count < DEATHS_MAX


class Child:
    """One process, and the ones that come after it."""

    def __init__(self, command: Program, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._command = command
        self._deaths = Deaths()
        self._started = time.monotonic()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._command.name

    @property
    def log(self) -> Path:
        """Where it writes."""
        return self._command.log

    async def start_again(self) -> bool:
        """In place of the one that died; its log goes on.

        False: it died `DEATHS_MAX` times in a row, and is left dead.
        """
        if not self._deaths.note(time.monotonic() - self._started):
            return False
        self.process = await _start(self._command, "ab")
        self._started = time.monotonic()
        return True

    async def ended(self) -> int:
        """Its exit code, when it ends."""
        return await self.process.wait()

    def epitaph(self) -> str:
        """What to say when it ended by itself."""
        code = self.process.returncode
        words = (
            f"was killed by signal {-code}"
            if code is not None and code < 0
            else f"ended with {code}"
        )
        return f"{self.name} {words}; {self.log} ends with:\n{tail(self.log)}"

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for its whole session if it takes too long.

        Harmless when it has ended.
        """
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()


async def start_child(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> Child:
    """Start `python -m …` with its output in `log`, which is begun anew."""
    command = Program(name, arguments, environment, log)
    return Child(command, await _start(command, "wb"))


async def _start(command: Program, log_mode: Literal["wb", "ab"]) -> asyncio.subprocess.Process:
    given = command.environment
    path = os.pathsep.join(filter(None, [str(STARTED_FROM), given.get("PYTHONPATH", "")]))
    with command.log.open(log_mode) as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**given, "PYTHONPATH": path},
            start_new_session=True,
        )

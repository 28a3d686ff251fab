"""The processes that `tillgate dev` starts: each in a session of its own, so that Ctrl-C reaches
dev alone and dev ends them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.tail import tail

STOP_S = 30.0  # longer than a worker's own bound
# Where `-m gateway` and `-m sandbox` are found without an installation.
STARTED_FROM = Path(__file__).resolve().parents[3]


@dataclass(slots=True)
class Child:
    """One process and where it writes."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

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
    path = os.pathsep.join(filter(None, [str(STARTED_FROM), environment.get("PYTHONPATH", "")]))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "PYTHONPATH": path},
            start_new_session=True,
        )
    return Child(name, process, log)

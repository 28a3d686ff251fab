"""`python -m loadtests.rush`: locust at lunch-peak volume against a whole gateway on loopback,
ended by the money audit.

locust patches the standard library through gevent, so it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests.service import Service

LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def main() -> int:
    """Returns the exit code: that of locust, or 1 when the books differ."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.rush", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--tills", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    return asyncio.run(_rush(parser.parse_args()))


async def _rush(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tg-rush-") as folder:
        service = await Service.start(Path(folder), options.workers)
        try:
            code = await asyncio.to_thread(_locust, Path(folder) / "data" / "dev.json", options)
            problems = await service.audited()
        finally:
            service.stop()
    print(
        f"money audit: {len(problems)} differences"
        + "".join(f"\n  {problem}" for problem in problems[:20])
    )
    return code or bool(problems)


def _locust(terms: Path, options: argparse.Namespace) -> int:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(LOCUSTFILE),
        "--headless",
        "--only-summary",
    ]
    command += ["-u", str(options.tills), "-r", str(options.tills), "-t", f"{options.seconds}s"]
    environment = {
        **os.environ,
        "TILLGATE_LOAD_TERMS": str(terms),
        "PYTHONPATH": str(LOCUSTFILE.parents[1]),
    }
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

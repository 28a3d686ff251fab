"""`python -m loadtests.rush`: locust at lunch-peak volume against a whole gateway on loopback,
ended by the money audit. With `--web`, locust's own page starts and stops it.

locust patches the standard library through gevent, so it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests.service import Service

WEB_PORT = 8089  # locust's own
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def main() -> int:
    """Returns the exit code: that of locust, or 1 when the books differ."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.rush", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--tills", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--web",
        type=int,
        nargs="?",
        const=WEB_PORT,
        metavar="PORT",
        help=f"locust's page on this port of 127.0.0.1 (default {WEB_PORT}), until Ctrl-C",
    )
    return asyncio.run(_rush(parser.parse_args()))


async def _rush(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tg-rush-") as folder:
        service = await Service.start(Path(folder), options.workers)
        if options.web is not None:
            # Ctrl-C is locust's: the audit comes after it.
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
            print(f"open http://127.0.0.1:{options.web}; Ctrl-C ends it, then comes the audit")
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
    ]
    command += ["-u", str(options.tills), "-r", str(options.tills), "-t", f"{options.seconds}s"]
    command += (
        ["--headless", "--only-summary"]
        if options.web is None
        else ["--web-host", "127.0.0.1", "--web-port", str(options.web)]
    )
    environment = {
        **os.environ,
        "TILLGATE_LOAD_TERMS": str(terms),
        "PYTHONPATH": str(LOCUSTFILE.parents[1]),
    }
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""`python -m sandbox --data DIR`: the channel sandbox as one process (and its ledger's keeper)."""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox import limits
from sandbox.accounts import write_whole
from sandbox.control import control_app
from sandbox.ledger import LedgerError
from sandbox.service import Service

try:
    import uvloop
except ImportError:  # the sandbox runs anywhere; it is only slower
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; 1 when the ledger cannot be kept."""
    options = _options(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(run(options))
    except LedgerError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1


async def run(options: argparse.Namespace) -> int:
    """The process's life: start, say where, serve, stop."""
    parent = os.getppid()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    service = await Service.start(options.data)
    control = web.AppRunner(
        control_app(service), access_log=None, shutdown_timeout=limits.STOP_SECONDS
    )
    await control.setup()
    site = web.TCPSite(control, "127.0.0.1", options.control_port)
    await site.start()
    _say_ready(site, options.ready_file, service)
    watchers: list[asyncio.Task[Any]] = [
        asyncio.create_task(stop.wait()),
        asyncio.create_task(service.ledger.failed.wait()),
    ]
    if options.die_with_parent:
        watchers.append(asyncio.create_task(_parent_is_gone(parent)))
    await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
    for watcher in watchers:
        watcher.cancel()
    ledger_lost = service.ledger.failed.is_set()
    await control.cleanup()
    await service.stop()
    if ledger_lost:
        print(
            "sandbox: the ledger's keeper died; "
            "the channels stopped, because they must not answer what is not kept",
            file=sys.stderr,
        )
    return 1 if ledger_lost else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description="Channel servers that speak the real protocols, on loopback only.",
    )
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        required=True,
        help="folder of the ledger and the enrolled accounts",
    )
    parser.add_argument(
        "--control-port", type=int, default=0, help="port of /_control (default 0: a free one)"
    )
    parser.add_argument(
        "--ready-file",
        type=pathlib.Path,
        help='written when ready: {"control_url", "pid", "ledger_pid"}',
    )
    parser.add_argument(
        "--die-with-parent",
        action="store_true",
        help="stop when the process that started this one is gone",
    )
    return parser.parse_args(arguments)


def _say_ready(site: web.TCPSite, ready_file: pathlib.Path | None, service: Service) -> None:
    assert site._server is not None  # noqa: SLF001 - aiohttp offers no other way to learn a port it chose
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # noqa: SLF001
    url = f"http://127.0.0.1:{port}"
    print(f"sandbox: control at {url}/_control/", flush=True)
    if ready_file is not None:
        write_whole(
            ready_file,
            json.dumps(
                {"control_url": url, "pid": os.getpid(), "ledger_pid": service.ledger.keeper_pid}
            ),
        )


async def _parent_is_gone(parent: int) -> None:
    # polled, because PR_SET_PDEATHSIG follows the starting thread, which may end long before its
    # process
    while os.getppid() == parent:  # noqa: ASYNC110 - the kernel offers no event for it
        await asyncio.sleep(limits.PARENT_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

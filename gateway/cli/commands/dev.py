"""`tillgate dev`: the whole world on one machine, a tour of it, then a service to play with.

However it ends, it ends its children first.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

from gateway.cli.dev.tour.runner import play
from gateway.cli.dev.tour.stage import payment_code, stage_of
from gateway.cli.dev.voice import Voice
from gateway.cli.dev.world import World
from gateway.cli.failures import CommandError
from gateway.cli.surroundings import DEV_JSON
from gateway.embedded.data_folder import choose_data_folder
from gateway.limits import WORKERS_MAX

PORT: Final = 8080
WORKERS: Final = 2
INTERRUPTED: Final = 130
# SIGINT too: a shell's background job inherits it ignored.
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As in the API's command table."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where everything is kept (default: .tillgate/ here)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help=f"port of the service, 0 for a free one (default {PORT})",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=WORKERS,
        help=f"worker processes of the service (default {WORKERS})",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="end after the tour; the exit code says whether every step went well",
    )


def run(options: argparse.Namespace) -> int:
    """0: ended as asked. 1: a step of the tour failed, or a part crashed again and again."""
    if not 1 <= options.workers <= WORKERS_MAX:
        raise CommandError(f"--workers {options.workers} is not within 1 … {WORKERS_MAX}")
    os.umask(0o077)  # logs and samples hold order numbers and keys: they are the owner's alone
    try:
        return asyncio.run(_dev(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED if options.once else 0  # Ctrl-C is how serving ends


async def _dev(options: argparse.Namespace) -> int:
    voice = Voice()
    chosen = choose_data_folder(Path.cwd(), options.data)
    voice.line(
        f"Tillgate dev, data in {chosen.path}"
        + (f" (not here: {chosen.why_not_here})" if chosen.why_not_here else "")
    )
    _end_on_signals()
    with _alone(chosen.path):
        async with AsyncExitStack() as stack:
            world = World(chosen.path, voice, stack, port=options.port, workers=options.workers)
            try:
                await world.start()
                return await _show(world, options, voice)
            finally:
                _go_deaf()
                voice.line("stopping ...")


async def _show(world: World, options: argparse.Namespace, voice: Voice) -> int:
    """The tour, then serving until it is stopped or a child dies again and again.

    With `--once` a death fails the tour.
    """
    revive = not options.once
    tour = asyncio.create_task(_tour(world, voice), name="tour")
    if await world.while_alive(tour, revive=revive) is None:
        return 1
    failed = tour.result()
    voice.line()
    if failed:
        voice.trouble(f"{failed} steps failed; logs are in {world.folder / 'logs'}")
    if options.once:
        return 1 if failed else 0
    _next_steps(world, options.data, voice)
    serving = asyncio.create_task(asyncio.Event().wait())
    return 0 if await world.while_alive(serving, revive=revive) else 1


async def _tour(world: World, voice: Voice) -> int:
    """How many subjects failed."""
    voice.head("Tour (through the signed HTTP API)")
    started, known = time.monotonic(), await world.late_money_cases()
    listener, endpoint_id = world.listener, world.document["webhook_endpoint"]
    async with stage_of(world.document, listener, endpoint_id) as stage:
        failed = await play(stage, voice)
    if not failed:  # so its late money went back: the case about it waits for no other person
        late = await world.late_money_cases()
        await world.close_cases(
            [case for case_id, case in late.items() if case_id not in known],
            "the tour's late money: it has gone back",
        )
    voice.line(f"  {time.monotonic() - started:.1f} s")
    return failed


def _next_steps(world: World, data: Path | None, voice: Voice) -> None:
    command, url = _command(), world.document["base_url"]
    where = f" --data {data}" if data else ""
    voice.line(f"Serving on {url}; keys for clients are in {world.folder / DEV_JSON}")
    voice.line(f"  pay      {command} pay 12850 --code {payment_code('alipay')}{where}")
    voice.line(f"  look     {command} account list{where} · {command} doctor{where}")
    voice.line(f"  read     {url}/docs")
    voice.line("Ctrl-C stops everything.")


def _command() -> str:
    """How this command can be typed again from here."""
    called = Path(sys.argv[0])
    if called.name != "tillgate":
        return "python -m gateway"
    return "tillgate" if shutil.which("tillgate") else os.path.relpath(called)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One `tillgate dev` a folder: two would fight for the sandbox's ledger."""
    with (folder / ".dev.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another `tillgate dev` runs on {folder}: "
                f"stop that one, or choose another folder with --data"
            ) from None
        yield


def _end_on_signals() -> None:
    """Ctrl-C, SIGTERM and a closed terminal all cancel the main task."""
    task = asyncio.current_task()
    assert task is not None
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _go_deaf() -> None:
    """Stopping is bounded; a second Ctrl-C in the midst of it would leave servers behind."""
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)

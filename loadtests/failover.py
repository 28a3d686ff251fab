"""`python -m loadtests.failover`: three accounts, steady load,
one goes dark for a minute, then comes back.

Real PostgreSQL, Redis, sandbox, gateway workers and sweeper on loopback; then what became of the
customers, and the money audit. Ends with 1 when money is wrong, and with `--check` also when an aim
was missed. How to read it: docs/failover-drill.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from math import ceil
from pathlib import Path
from typing import Any

import uvloop

from gateway.embedded.data_folder import unsuitable
from loadtests.audit import audit
from loadtests.books import read_books
from loadtests.drill.darkness import HOWS, OPERATIONS, Clock, put_out
from loadtests.drill.findings import Findings, found
from loadtests.drill.house import House, Terms, house
from loadtests.drill.picture import picture
from loadtests.drill.report import Aim, aims, as_json, is_money_right, lines
from loadtests.drill.tills import Tills

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
BEFORE_S = 15.0
AFTER_S = 30.0
RETURN_S_MAX = 90.0  # longer than any open time of a breaker, and than a score takes to drift back
BACK_SHARE = 0.8  # A is used again when so many of the last second's customers were paid there
# P4's clock runs 75 s at Alipay; an account's phase 2 pauses one minute at a time meanwhile.
REST_S_MAX = 240.0
SHORT = {
    "rate": 5.0,
    "before_seconds": 1.0,
    "dark_seconds": 2.5,
    "after_seconds": 1.0,
    "profile": "short",
}


def main() -> int:
    """Returns the exit code."""
    try:
        return uvloop.run(_drilled(_options(sys.argv[1:])))
    except asyncio.CancelledError:
        return INTERRUPTED


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.failover",
        description=(__doc__ or "").split("\n\n", maxsplit=1)[0],
    )
    parser.add_argument(
        "--how", choices=tuple(HOWS), default="refuse", help="what darkness is (default refuse)"
    )
    parser.add_argument(
        "--redis",
        choices=("up", "killed", "evil"),
        default="up",
        help="killed: as it gets dark; evil: grants every lock",
    )
    parser.add_argument("--channel", choices=tuple(OPERATIONS), default="alipay")
    parser.add_argument("--rate", type=float, default=20.0, help="customers a second (default 20)")
    parser.add_argument("--before-seconds", type=float, default=BEFORE_S)
    parser.add_argument("--dark-seconds", type=float, default=60.0)
    parser.add_argument(
        "--after-seconds",
        type=float,
        default=AFTER_S,
        help="at least; longer until A is used again",
    )
    parser.add_argument(
        "--profile",
        choices=("standard", "short"),
        default="standard",
        help="short: the channel's schedule ten times faster",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--short",
        action="store_true",
        help="a few seconds at 5/s, for a look whether everything works",
    )
    parser.add_argument(
        "--check", action="store_true", help="end with 1 when an aim was missed too"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the findings there as JSON")
    parser.add_argument(
        "--database", metavar="URL", help="an empty database to use in place of an embedded server"
    )
    parser.add_argument(
        "--redis-url",
        metavar="URL",
        help="with --redis up: a Redis to use in place of an embedded one",
    )
    if "--short" in words:
        parser.set_defaults(**SHORT)
    return parser.parse_args(words)


async def _drilled(options: argparse.Namespace) -> int:
    _end_on_signals()
    terms = Terms(
        channel=options.channel,
        profile=options.profile,
        workers=options.workers,
        redis=options.redis,
        database=options.database,
        redis_url=options.redis_url,
    )
    with tempfile.TemporaryDirectory(prefix="tg-", dir=_short_folder()) as folder:
        began = time.monotonic()
        async with house(Path(folder), terms) as opened:
            print(
                f"started in {time.monotonic() - began:.1f} s; darkness: {options.how}, Redis: "
                f"{options.redis}",
                flush=True,
            )
            return await _played(opened, options)


def _end_on_signals() -> None:
    """The first one cancels the main task, which ends what was started;
    more of them do not disturb that.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        for number in ENDING:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end)


async def _played(opened: House, options: argparse.Namespace) -> int:
    clock = Clock()
    async with Tills(opened.base_url, opened.key, options.channel, clock) as tills:
        end_s = await _load(opened, tills, clock, options)
        print(
            f"load ended after {end_s:.0f} s, {len(tills.customers)} customers; "
            f"waiting until everything is settled ...",
            flush=True,
        )
        await tills.all_served(REST_S_MAX)
        violations = await _audited(opened, tills)
        findings = await found(opened.dsn, clock, tills.customers, opened.accounts)
        findings.violations = violations
        print()
        print(picture(tills.customers, opened.accounts, clock, options.rate, end_s))
        print()
        print("\n".join(lines(findings)))
    reached = aims(findings, await _pairs(opened.dsn))
    print()
    for aim in reached:
        print(f"{'met   ' if aim.met else 'MISSED'} {aim.name}: {aim.value}")
    if opened.lies:
        print(
            f"       the evil Redis granted {opened.lies.get(b'SET', 0)} locks "
            f"and answered {sum(opened.lies.values())} commands"
        )
    if options.out is not None:
        _write(options, findings, reached)
    missed = [aim for aim in reached if not aim.met]
    return 0 if is_money_right(findings) and not (options.check and missed) else 1


async def _load(opened: House, tills: Tills, clock: Clock, options: argparse.Namespace) -> float:
    """Steady customers; A lives, is dark, lives. Returns when the last customer came."""
    stop = asyncio.Event()
    clock.start()
    coming = asyncio.create_task(tills.run(options.rate, stop))
    try:
        await asyncio.sleep(options.before_seconds)
        clock.dark_s = clock.now()
        if options.redis == "killed":
            opened.kill_redis()
        await put_out(
            opened.channels,
            options.channel,
            opened.accounts["A"],
            options.how,
            int(options.dark_seconds * 1000),
        )
        print(f"{clock.dark_s:6.1f} s  A is dark", flush=True)
        await asyncio.sleep(clock.dark_s + options.dark_seconds - clock.now())
        clock.light_s = clock.now()
        await opened.channels.disarm()
        print(f"{clock.light_s:6.1f} s  A is back", flush=True)
        await asyncio.sleep(options.after_seconds)
        while (  # noqa: ASYNC110
            not _is_back(tills, opened.accounts["A"], clock, options.rate)
            and clock.now() < clock.light_s + RETURN_S_MAX
        ):
            await asyncio.sleep(0.5)
    finally:
        stop.set()
        await coming
    return clock.now()


def _is_back(tills: Tills, account: str, clock: Clock, rate: float) -> bool:
    """A takes the customers again."""
    last = [
        customer
        for customer in tills.customers
        if customer.account and customer.arrived_s > clock.light_s
    ][-ceil(rate) :]
    return bool(last) and sum(customer.account == account for customer in last) >= BACK_SHARE * len(
        last
    )


async def _audited(opened: House, tills: Tills) -> list[str]:
    """The differences between both books, once they are at rest."""
    url, end = opened.channels.url, time.monotonic() + REST_S_MAX
    while True:
        violations = await audit(opened.dsn, url, answered=tills.answered)
        if not violations or time.monotonic() > end:
            return [str(violation) for violation in violations]
        await asyncio.sleep(1)


async def _pairs(dsn: str) -> int:
    """Attempts that followed another one of their tender: what INV9 looked at."""
    books = await read_books(dsn)
    return sum(attempt["trade_number"] > 1 for attempt in books.attempts)


def _write(options: argparse.Namespace, findings: Findings, reached: list[Aim]) -> None:
    asked: dict[str, Any] = {
        name: value
        for name, value in vars(options).items()
        if name not in {"out", "database", "redis_url"}
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps(as_json(findings, asked, reached), indent=1, ensure_ascii=False) + "\n"
    )


def _short_folder() -> str:
    """Where sockets have short enough paths and PostgreSQL's user may enter."""
    return next(
        path
        for path in (tempfile.gettempdir(), "/tmp")  # noqa: S108
        if not unsuitable(Path(path) / "tg-12345678/postgres")
    )


if __name__ == "__main__":
    sys.exit(main())

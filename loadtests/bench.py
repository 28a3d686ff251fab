"""`python -m loadtests.bench`: what a payment costs, beside what cannot be avoided, measured in one
run on one machine.

Floors: a bare aiohttp endpoint that decodes and answers the same JSON, and one RSA-2048 signature
and verification. Then cash and Alipay code (against the sandbox) through a whole gateway with one
worker, Postgres with fsync on, Redis, and the sweeper running. Absolute figures are this machine's;
the ratios are what to quote. `--check` exits non-zero when an aim is missed. The run ends with the
money audit: the gateway's books against the sandbox's ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from loadtests.generator import CONNECTIONS, Measured, closed_loop
from loadtests.processes import table
from loadtests.service import Service
from loadtests.till import payment, prebuilt, wire

SECONDS = 8.0
WARM_UP_S = 2.0
REQUESTS_A_SECOND_MAX = 6_000  # prebuilt; a server faster than this ends the run early
# Aim: a cash payment costs at most this many bare requests of worker CPU.
CASH_CPU_RATIO_MAX: Final = 4.0
CASH_RATE_RATIO_MIN: Final = 0.25  # aim: and reaches this share of the bare endpoint's rate
CREATED = 201


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: the answers, and CPU seconds by part."""

    measured: Measured
    cpu_s: dict[str, float]

    def us(self, part: str) -> float:
        """CPU microseconds of `part` for one answer."""
        return self.cpu_s.get(part, 0.0) / max(self.measured.answers, 1) * 1e6


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when an aim is missed")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--only", choices=("cash", "alipay"), help="one of the two payments")
    return uvloop.run(_bench(parser.parse_args()))


async def _bench(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    # What was started is ended.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    sign_us, verify_us = _rsa_floor()
    print(f"RSA-2048: sign {sign_us:.0f} µs, verify {verify_us:.0f} µs of one core")
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        service = await Service.start(Path(folder))
        try:
            floor = await _bare(service, options)
            missed: list[str] = []
            for method in ("cash", "alipay") if options.only is None else (options.only,):
                missed += _report(
                    method, await _measured(service, method, options), floor, sign_us + verify_us
                )
            problems = await service.audited()
        finally:
            service.stop()
    print(
        f"money audit: {len(problems)} differences"
        + "".join(f"\n  {problem}" for problem in problems[:20])
    )
    for line in (*missed, *problems[:1]):
        print(f"MISSED {line}")
    return 1 if (missed or problems) and options.check else 0


def _report(method: str, figure: Figure, floor: Figure, rsa_us: float) -> list[str]:
    m, bare_us, worker_us = figure.measured, floor.us("worker"), figure.us("worker")
    ratio, rate = worker_us / bare_us, m.rate / floor.measured.rate
    parts = ", ".join(f"{part} {figure.us(part):.0f}" for part in figure.cpu_s)
    print(
        f"{method}: {m.rate:.0f}/s, p50 {m.percentile_ms(0.5):.1f} ms, p99 "
        f"{m.percentile_ms(0.99):.1f} ms, statuses {dict(m.statuses)}"
    )
    print(f"  CPU µs a payment: {parts}")
    print(f"  worker CPU = {ratio:.2f} × bare request; rate = {rate:.2f} × bare", end="")
    print(
        f"; worker CPU = {worker_us / (bare_us + rsa_us):.2f} × (bare + RSA sign and verify)"
        if method != "cash"
        else ""
    )
    missed = [
        f"{method}: {count} answers of status {status}"
        for status, count in m.statuses.items()
        if status != CREATED
    ]
    if method == "cash" and ratio > CASH_CPU_RATIO_MAX:
        missed.append(f"cash CPU {ratio:.2f} × bare, aim {CASH_CPU_RATIO_MAX}")
    if method == "cash" and rate < CASH_RATE_RATIO_MIN:
        missed.append(f"cash rate {rate:.2f} × bare, aim {CASH_RATE_RATIO_MIN}")
    return missed


async def _measured(service: Service, method: str, options: argparse.Namespace) -> Figure:
    """A warm-up, then the measurement."""
    host, port = service.address
    key = service.terms["terminal_key"]
    await closed_loop(
        host,
        port,
        prebuilt(key, method, int(WARM_UP_S * REQUESTS_A_SECOND_MAX)),
        WARM_UP_S,
        options.connections,
    )
    requests = prebuilt(key, method, int(options.seconds * REQUESTS_A_SECOND_MAX))
    before = service.cpu_s()
    measured = await closed_loop(host, port, requests, options.seconds, options.connections)
    after = service.cpu_s()
    return Figure(measured, {part: after[part] - before[part] for part in after})


async def _bare(service: Service, options: argparse.Namespace) -> Figure:
    """The floor, answering a payment that the gateway itself answered."""
    async with service.till() as till:
        sample = await till.pay(
            {"order_no": f"BENCH-{time.time_ns()}", "amount": 12850, "method": "cash"},
            f"bench-{time.time_ns()}",
        )
    command = [sys.executable, "-m", "loadtests.bare"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        process.stdin.write(json.dumps(sample.document).encode() + b"\n")
        process.stdin.flush()
        port = int(process.stdout.readline())
        one = wire(
            service.terms["terminal_key"], "bench", json.dumps(payment("cash", 12_345)).encode()
        )
        await closed_loop("127.0.0.1", port, itertools.repeat(one), WARM_UP_S, options.connections)
        before = table()[process.pid].cpu_s
        measured = await closed_loop(
            "127.0.0.1", port, itertools.repeat(one), options.seconds, options.connections
        )
        figure = Figure(measured, {"worker": table()[process.pid].cpu_s - before})
    finally:
        process.terminate()
        process.wait(10)
    print(
        f"bare endpoint: {measured.rate:.0f}/s, {figure.us('worker'):.0f} µs CPU a request, "
        f"statuses {dict(measured.statuses)}"
    )
    return figure


def _rsa_floor() -> tuple[float, float]:
    """CPU microseconds of one signature and of one verification."""
    key, message = rsa.generate_private_key(65537, 2048), b"m" * 500
    rounds = 300
    began = time.process_time()
    signatures = [key.sign(message, padding.PKCS1v15(), hashes.SHA256()) for _ in range(rounds)]
    signing = time.process_time() - began
    public = key.public_key()
    began = time.process_time()
    for signature in signatures:
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    return signing / rounds * 1e6, (time.process_time() - began) / rounds * 1e6


if __name__ == "__main__":
    sys.exit(main())

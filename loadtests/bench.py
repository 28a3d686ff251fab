"""`python -m loadtests.bench`: what a payment costs, beside what cannot be avoided, measured in one run on one machine.

Floors: a bare aiohttp endpoint that decodes and answers the same JSON, and one RSA-2048 signature and verification.
Then cash and Alipay code (against the sandbox) through a whole gateway with one worker, Postgres with fsync on, Redis, and the
sweeper running. Absolute figures are this machine's; the ratios are what to quote. `--check` exits non-zero when an aim is missed.
The run ends with the money audit: the gateway's books against the sandbox's ledger.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.cli.client import Client
from loadtests.generator import CONNECTIONS, Measured, closed_loop
from loadtests.processes import below, table
from security.secret import Secret
from security.till_signature import authorization_header

SECONDS = 8.0
WARM_UP_S = 2.0
REQUESTS_A_SECOND_MAX = 6_000  # prebuilt; a server faster than this would end the run early
START_S = 120.0
CASH_CPU_RATIO_MAX: Final = 4.0  # aim: a cash payment costs at most this many bare requests of worker CPU
CASH_RATE_RATIO_MIN: Final = 0.25  # aim: and reaches this share of the bare endpoint's rate


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when an aim is missed")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--only", choices=("cash", "alipay"), help="one of the two payments")
    options = parser.parse_args()
    return uvloop.run(_bench(options))


async def _bench(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # what was started is ended
    sign_us, verify_us = _rsa_floor()
    print(f"RSA-2048: sign {sign_us:.0f} µs, verify {verify_us:.0f} µs of one core")
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        Path(folder).chmod(0o711)  # as root, Postgres runs as another user that must reach its folder inside
        gateway = await _Dev.start(Path(folder))
        missed: list[str] = []
        try:
            sample = await gateway.sample()
            floor = await _bare(sample, options)
            for name in ("cash", "alipay") if options.only is None else (options.only,):
                figure = await gateway.measured(name, options)
                missed += _report(name, figure, floor, sign_us + verify_us)
            print(await gateway.audited())
        finally:
            gateway.stop()
    for line in missed:
        print(f"MISSED {line}")
    return 1 if missed and options.check else 0


class Figure:
    """One measurement: the answers, and CPU seconds by part."""

    def __init__(self, measured: Measured, cpu_s: dict[str, float]) -> None:
        self.measured, self.cpu_s = measured, cpu_s

    def us(self, part: str) -> float:
        """CPU microseconds of `part` for one answer."""
        return self.cpu_s.get(part, 0.0) / max(self.measured.answers, 1) * 1e6


def _report(name: str, figure: Figure, floor: Figure, rsa_us: float) -> list[str]:
    m, bare_us = figure.measured, floor.us("worker")
    ratio, rate = figure.us("worker") / bare_us, m.rate / floor.measured.rate
    parts = ", ".join(f"{part} {figure.us(part):.0f}" for part in figure.cpu_s)
    print(f"{name}: {m.rate:.0f}/s, p50 {m.percentile_ms(0.5):.1f} ms, p99 {m.percentile_ms(0.99):.1f} ms, statuses {dict(m.statuses)}")
    print(f"  CPU µs a payment: {parts}")
    print(f"  worker CPU = {ratio:.2f} × bare request; rate = {rate:.2f} × bare", end="")
    print(f"; worker CPU = {figure.us('worker') / (bare_us + rsa_us):.2f} × (bare + RSA sign and verify)" if name != "cash" else "")
    missed = [f"{name}: {count} answers of status {status}" for status, count in m.statuses.items() if status != 201]  # noqa: PLR2004
    if name == "cash" and ratio > CASH_CPU_RATIO_MAX:
        missed.append(f"cash CPU {ratio:.2f} × bare, aim {CASH_CPU_RATIO_MAX}")
    if name == "cash" and rate < CASH_RATE_RATIO_MIN:
        missed.append(f"cash rate {rate:.2f} × bare, aim {CASH_RATE_RATIO_MIN}")
    return missed


class _Dev:
    """`tillgate dev` in a process of its own: the very system a newcomer runs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder
        self._terms: dict[str, Any] = {}
        self._numbers = itertools.count(1)

    @classmethod
    async def start(cls, folder: Path) -> _Dev:
        """Ready, its tour played."""
        log = (folder / "dev.log").open("wb")
        command = [sys.executable, "-m", "gateway", "dev", "--data", str(folder / "data"), "--port", "0", "--workers", "1"]
        dev = cls(subprocess.Popen(command, stdout=log, stderr=log), folder)  # noqa: ASYNC220
        end = time.monotonic() + START_S
        while b"Ctrl-C stops" not in (folder / "dev.log").read_bytes():
            if dev._process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"tillgate dev did not start:\n{(folder / 'dev.log').read_text()}")
            await asyncio.sleep(0.2)
        dev._terms = json.loads((folder / "data" / "dev.json").read_text())
        return dev

    def stop(self) -> None:
        """End it and everything it started."""
        self._process.terminate()
        self._process.wait(60)

    async def sample(self) -> bytes:
        """A payment as the gateway answers it, for the bare endpoint to answer."""
        key = self._terms["terminal_key"]
        async with Client(self._terms["base_url"], key["id"], Secret(key["secret"])) as till:
            answer = await till.pay({"order_no": "BENCH-SAMPLE", "amount": 12850, "method": "cash"}, "bench-sample-" + str(time.time_ns()))
        return json.dumps(answer.document).encode()

    async def measured(self, name: str, options: argparse.Namespace) -> Figure:
        """A warm-up, then the measurement."""
        host, port = self._terms["base_url"].removeprefix("http://").split(":")
        await closed_loop(host, int(port), self._requests(name, WARM_UP_S), WARM_UP_S, options.connections)
        requests = self._requests(name, options.seconds)
        before = self._cpu()
        measured = await closed_loop(host, int(port), requests, options.seconds, options.connections)
        after = self._cpu()
        return Figure(measured, {part: after[part] - before.get(part, 0.0) for part in after})

    async def audited(self) -> str:
        """The gateway's books against the sandbox's ledger."""
        from gateway.embedded.postgres import EmbeddedPostgres  # noqa: PLC0415 - only for its address
        from loadtests.audit import audit  # noqa: PLC0415 - a bench without remote payments needs no sandbox client

        dsn = EmbeddedPostgres(self._folder / "data" / "postgres").dsn
        problems = await audit(dsn, self._terms["sandbox_url"])
        return f"money audit: {len(problems)} differences" + "".join(f"\n  {problem}" for problem in problems[:20])

    def _requests(self, name: str, seconds: float) -> Iterator[bytes]:
        count = int(seconds * REQUESTS_A_SECOND_MAX)
        return iter([self._request(name, next(self._numbers)) for _ in range(count)])

    def _request(self, name: str, number: int) -> bytes:
        order = f"B{time.time_ns():x}-{number}"
        how = {"method": "cash"} if name == "cash" else {"auth_code": f"28{number:014d}00"}
        body = json.dumps({"order_no": order, "amount": 12850, "currency": "CNY", **how}).encode()
        return signed(self._terms["terminal_key"], order, body)

    def _cpu(self) -> dict[str, float]:
        found = {"worker": 0.0, "postgres": 0.0, "redis": 0.0, "sandbox": 0.0, "work": 0.0}
        for process in below(self._process.pid, table()):
            for part, mark in (
                ("worker", "gateway serve"),
                ("postgres", "postgres"),
                ("redis", "redis"),
                ("sandbox", "sandbox"),
                ("work", "gateway work"),
            ):
                if mark in process.command:
                    found[part] += process.cpu_s
                    break
        return found


def signed(key: dict[str, str], idempotency_key: str, body: bytes) -> bytes:
    """A whole pay request as it goes over the wire."""
    authorization = authorization_header(
        key["id"],
        Secret(key["secret"]),
        method="POST",
        path_qs="/v1/payments",
        ts=int(time.time()),
        idempotency_key=idempotency_key,
        body=body,
    )
    head = (
        f"POST /v1/payments HTTP/1.1\r\nHost: till\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Idempotency-Key: {idempotency_key}\r\nAuthorization: {authorization}\r\n\r\n"
    )
    return head.encode() + body


async def _bare(sample: bytes, options: argparse.Namespace) -> Figure:
    process = subprocess.Popen([sys.executable, "-m", "loadtests.bare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        process.stdin.write(sample + b"\n")
        process.stdin.flush()
        port = int(process.stdout.readline())
        key = {"id": "tk_" + "A" * 26, "secret": "sk_test_" + "A" * 52}
        body = json.dumps({"order_no": "B-1", "amount": 12850, "currency": "CNY", "method": "cash"}).encode()
        one = signed(key, "bench", body)
        await closed_loop("127.0.0.1", port, itertools.repeat(one), WARM_UP_S, options.connections)
        before = table()[process.pid].cpu_s
        measured = await closed_loop("127.0.0.1", port, itertools.repeat(one), options.seconds, options.connections)
        figure = Figure(measured, {"worker": table()[process.pid].cpu_s - before})
    finally:
        process.terminate()
        process.wait(10)
    print(f"bare endpoint: {measured.rate:.0f}/s, {figure.us('worker'):.0f} µs CPU a request, statuses {dict(measured.statuses)}")
    return figure


def _rsa_floor() -> tuple[float, float]:
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

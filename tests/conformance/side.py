"""One channel account seen from both sides:
our adapter over the real transport, and the sandbox's own truth.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from aiohttp import web

from adapters.channel import (
    Callback,
    CallbackRefused,
    Channel,
    Flow,
    PayRequest,
    RefundRequest,
    RemoteManifest,
    TradeRef,
)
from adapters.transport import AiohttpTransport, HttpAnswer, HttpCall
from gateway.clock import SystemClock
from gateway.domain.outcomes import NotSent, RefundNotFound, RefundPending
from gateway.domain.presenting import PaymentCode, ShownQr
from gateway.flow.call.evidence import kept
from security.secret import Secret, decode_hook
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess, SandboxRefusedError

CLOCK = SystemClock()
SEND_S = 5.0
SILENCE_MS = 600  # how long a hasty side waits for an answer
PATIENCE_MS = 20_000  # and any other: a busy machine is no silent channel
AMOUNT = 12_850
REFUND_QUERIES_MAX = 2_000  # each a round trip; the slowest refund that a test asks for takes 0.4 s

# our five calls, and what the sandbox may call them
PAY, QUERY, CANCEL = ("pay", "precreate"), ("query",), ("cancel", "close", "reverse")
REFUND, QUERY_REFUND = ("refund",), ("refund_query",)


class CountingTransport:
    """The real transport; counts what is handed to it."""

    def __init__(self, inner: AiohttpTransport) -> None:
        self._inner = inner
        self.sent = 0

    @property
    def signing_executor(self) -> Executor:
        return self._inner.signing_executor

    async def send(self, call: HttpCall) -> HttpAnswer:
        self.sent += 1
        return await self._inner.send(call)


@dataclass
class Received:
    """What arrived at the callback address and what the adapter made of it."""

    headers: Mapping[str, str]
    body: bytes
    read: Callback | CallbackRefused


@dataclass
class Postbox:
    """The address callbacks come to; answers in the channel's own words.

    Each test has its own: resent ones come late.
    """

    origin: str = ""
    name: str = ""
    channel: Channel | None = None
    received: list[Received] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.origin}/callbacks/{self.name}"

    def reopen(self, channel: Channel) -> None:
        self.name, self.channel, self.received = secrets.token_hex(4), channel, []

    async def handle(self, request: web.Request) -> web.Response:
        if self.channel is None or request.match_info["name"] != self.name:
            return web.Response(status=410)
        body = await request.read()
        headers = dict(request.headers)
        try:
            read: Callback | CallbackRefused = self.channel.read_callback(headers, body)
            answer = self.channel.callback_accepted()
        except CallbackRefused as refused:
            read, answer = refused, self.channel.callback_refused()
        self.received.append(Received(headers, body, read))
        self._news.set()
        return web.Response(
            status=answer.status, body=answer.body, content_type=answer.content_type
        )

    async def arrived(self, count: int) -> None:
        """Until so many were received; the sandbox sends them when it likes."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()

    def accepted(self) -> list[Callback]:
        return [one.read for one in self.received if isinstance(one.read, Callback)]

    def refused(self) -> list[str]:
        return [one.read.reason for one in self.received if isinstance(one.read, CallbackRefused)]


@asynccontextmanager
async def open_postbox() -> AsyncIterator[Postbox]:
    postbox = Postbox()
    app = web.Application()
    app.router.add_post("/callbacks/{name}", postbox.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    postbox.origin = f"http://{host}:{port}"
    try:
        yield postbox
    finally:
        await runner.cleanup()


@dataclass
class Side:
    """Makes requests, sends them through the adapter, and looks at the ledger."""

    sandbox: SandboxProcess
    manifest: RemoteManifest
    account: str
    credentials: dict[str, Any]
    postbox: Postbox
    silence_ms: int = PATIENCE_MS
    transport: CountingTransport = field(init=False)
    channel: Channel = field(init=False)
    _inner: AiohttpTransport = field(init=False)
    _executor: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)
        self._inner = AiohttpTransport(
            clock=CLOCK,
            signing_executor=self._executor,
            read_timeout_ms=self.silence_ms,
            call_timeout_ms=2 * self.silence_ms,
        )
        self.transport = CountingTransport(self._inner)
        self.channel = self.built(self.credentials)

    @property
    def name(self) -> str:
        return self.manifest.channel

    def built(self, credentials: Mapping[str, Any]) -> Channel:
        decoded = msgspec.convert(credentials, self.manifest.credentials, dec_hook=decode_hook)
        channel: Channel = self.manifest.build(decoded, self.transport, CLOCK)
        return channel

    @asynccontextmanager
    async def fresh_connections(self, silence_ms: int = PATIENCE_MS) -> AsyncIterator["Side"]:
        """The same account over a pool without an open connection: only there is "refused" certain
        to be seen as such.
        """
        fresh = Side(
            self.sandbox, self.manifest, self.account, self.credentials, self.postbox, silence_ms
        )
        try:
            yield fresh
        finally:
            await fresh.close()

    async def close(self) -> None:
        await self._inner.aclose()
        self._executor.shutdown()

    # --- requests

    def pay_request(self, flow: Flow = Flow.CODE, magic: str = "00", **changed: Any) -> PayRequest:
        sent_at = CLOCK.now()
        terms: dict[str, Any] = {
            "out_trade_no": new_number(),
            "amount": AMOUNT,
            "currency": "CNY",
            "description": "午餐 T08",
            "presented": PaymentCode(Secret(self.auth_code(magic)))
            if flow is Flow.CODE
            else ShownQr(),
            "store_id": "store_0001",
            "terminal_id": "term_0001",
            "operator_id": "op7",
            "sent_at": sent_at,
            "not_after": sent_at + timedelta(minutes=3),
            "notify_url": self.postbox.url,
            "deadline": CLOCK.monotonic() + SEND_S,
        }
        return PayRequest(**(terms | changed))

    def trade(self, request: PayRequest) -> TradeRef:
        return TradeRef(
            out_trade_no=request.out_trade_no,
            amount=request.amount,
            currency=request.currency,
            flow=request.flow,
            sent_at=request.sent_at,
            channel_trade_no=None,
            deadline=CLOCK.monotonic() + SEND_S,
        )

    def refund_request(self, request: PayRequest, amount: int, **changed: Any) -> RefundRequest:
        terms: dict[str, Any] = {
            "out_trade_no": request.out_trade_no,
            "channel_trade_no": None,
            "out_refund_no": new_number(),
            "total_amount": request.amount,
            "refund_amount": amount,
            "currency": request.currency,
            "reason": "上错菜",
            "notify_url": self.postbox.url,
            "deadline": CLOCK.monotonic() + SEND_S,
        }
        return RefundRequest(**(terms | changed))

    def auth_code(self, magic: str) -> str:
        """A fresh payment code of this channel that ends in the two digits `magic`."""
        pattern, prefix, length = code_form(self.manifest.auth_codes)
        middle = "".join(
            secrets.choice("0123456789") for _ in range(length - len(prefix) - len(magic))
        )
        code = f"{prefix}{middle}{magic}"
        assert pattern.fullmatch(code)
        return code

    # --- the five calls, each at most one request

    async def pay(self, request: PayRequest) -> Any:
        """What the flow keeps of it."""
        return kept(await self._once(self.channel.pay(request)), request.presented.secrets)

    async def query(self, request: PayRequest) -> Any:
        return await self.query_of(self.trade(request))

    async def query_of(self, trade: TradeRef) -> Any:
        return await self._once(self.channel.query(trade))

    async def cancel(self, request: PayRequest) -> Any:
        return await self.cancel_of(self.trade(request))

    async def cancel_of(self, trade: TradeRef) -> Any:
        return await self._once(self.channel.cancel(trade))

    async def refund(self, request: RefundRequest) -> Any:
        return await self._once(self.channel.refund(request))

    async def query_refund(self, request: RefundRequest) -> Any:
        return await self._once(self.channel.query_refund(request))

    async def settled_refund(self, request: RefundRequest) -> Any:
        """Queries until the refund is no longer on its way (some channels say "not found" so long);
        the sandbox's own clock ends it.
        """
        for _ in range(REFUND_QUERIES_MAX):
            outcome = await self.query_refund(request)
            if not isinstance(outcome, RefundPending | RefundNotFound):
                return outcome
        raise AssertionError("the refund stays pending")

    async def _once(self, call: Any) -> Any:
        before = self.transport.sent
        outcome = await call
        assert self.transport.sent - before <= 1, "one call is at most one request"
        assert isinstance(outcome, NotSent) or self.transport.sent - before == 1
        return outcome

    # --- the sandbox's truth

    async def ledger(self, request: PayRequest) -> dict[str, Any] | None:
        rows = await self.sandbox.ledger(self.name, self.account)
        found = [row for row in rows if row["out_trade_no"] == request.out_trade_no]
        assert len(found) <= 1
        return found[0] if found else None

    async def moved(self, request: PayRequest) -> tuple[int, int]:
        """Fen that came in, and fen that went back, act by act."""
        row = await self.ledger(request)
        history = row["history"] if row else []
        came = sum(line["amount"] for line in history if line["act"] == "charged")
        went = sum(line["amount"] for line in history if line["act"] in {"reversed", "refunded"})
        return came, went

    async def arm(self, operations: tuple[str, ...], fault: str, **terms: Any) -> None:
        """Arms a fault on whichever of these operations the channel has."""
        refusals = []
        for operation in operations:
            try:
                await self.sandbox.arm(self.name, operation, fault, account=self.account, **terms)
            except SandboxRefusedError as refused:
                refusals.append(str(refused))
        assert len(refusals) < len(operations), refusals

    async def fired(self) -> int:
        """Disarms everything; how often it struck."""
        return sum(int(row["fired"]) for row in await self.sandbox.disarm())


def new_number() -> str:
    """An order or refund number as the gateway makes them."""
    return "T0" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(26))


def code_form(patterns: tuple[re.Pattern[str], ...]) -> tuple[re.Pattern[str], str, int]:
    """A pattern of digits with a prefix and a length it accepts, found by trying."""
    for pattern in patterns:
        for length in range(8, 40):
            for prefix in range(10, 100):
                if pattern.fullmatch(f"{prefix}".ljust(length, "0")):
                    return pattern, str(prefix), length
    raise AssertionError("no pattern accepts plain digits")

"""A word the channel never used before, genuinely signed: it proves nothing, and somebody is told.

No fault of the sandbox process makes up words, so its desk answers here in this very process: same
keys, same seal, no socket.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from math import inf
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from prometheus_client import REGISTRY

from adapters.channel import Flow, PayRequest
from adapters.transport import HttpAnswer, HttpCall, InlineExecutor
from gateway.domain import outcomes as out
from gateway.domain.payment import Payment
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth
from sandbox.acts import Acts
from sandbox.book import Book, now_ms
from sandbox.channel import Account, Desk, Flaw, RawRequest, Reply, Saying
from sandbox.discovery import discover as sandbox_channels
from sandbox.surroundings import Surroundings
from security.secret import decode_hook
from tests.conformance.conftest import MODES, REMOTE
from tests.conformance.side import CLOCK, Postbox, Side
from tests.fakes.accounts import remote_account
from tests.unit.paying import attempt, payment

WORD = "SURPRISE"


class DeskTransport:
    """Hands a request to the desk; the refusal that comes back gets its innermost code exchanged
    for `WORD`.
    """

    signing_executor: Executor = InlineExecutor()

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send(self, call: HttpCall) -> HttpAnswer:
        parts = urlsplit(call.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {name.lower(): value for name, value in call.headers.items()} | {
            "user-agent": "Tillgate"
        }
        came = RawRequest(call.method, target, headers, call.body)
        understood = self._desk.accept(came)
        assert not isinstance(understood, Reply), understood
        reply = understood.say(Saying.NOT_FOUND)
        assert reply.document is not None
        code = max((name for name in reply.document if name.endswith("code")), key=len)
        reply.document[code] = WORD
        sealed = await self._desk.seal(reply, Flaw.NONE, came)
        return HttpAnswer(status=sealed.status, headers=sealed.headers, body=sealed.body)


class DeskSide(Side):
    """A side whose channel server is an object; it has no ledger to look at."""

    def __post_init__(self) -> None:
        pass


@pytest.fixture(scope="module", params=MODES, ids=["-".join(world) for world in MODES])
async def stranger(request: pytest.FixtureRequest) -> tuple[DeskSide, RemoteAccount]:
    name, mode = request.param
    account = Account(name, "in_process", mode, "standard", 1, {})
    kind = sandbox_channels()[name]
    credentials = await kind.enrol(account, None)
    acts = Acts(Book(), account, now_ms)
    desk = kind.open(
        account, Surroundings(account, acts, kind.settings(), lambda: asyncio.sleep(0))
    )
    manifest = REMOTE[name]
    side = DeskSide(None, manifest, "in_process", credentials, Postbox(origin="http://127.0.0.1:1"))  # type: ignore[arg-type]
    decoded = msgspec.convert(credentials, manifest.credentials, dec_hook=decode_hook)
    channel = manifest.build(decoded, DeskTransport(desk), CLOCK)
    return side, remote_account("in_process", manifest, channel=channel)


CALLS = ChannelCalls(CLOCK, ChannelHealth(CLOCK))


def payment_of(request: PayRequest) -> Payment:
    tried = attempt("sent", out_trade_no=request.out_trade_no)
    return payment("processing", tried, amount=request.amount, flow=request.flow)


async def asked(
    ask: Callable[..., Awaitable[Any]], account: RemoteAccount, request: PayRequest
) -> Any:
    return await ask(account, payment_of(request), request.out_trade_no, inf)


Act = Callable[[DeskSide, RemoteAccount], Awaitable[Any]]
ACTS: dict[str, Act] = {
    "pay": lambda side, account: CALLS.pay(account, side.pay_request()),
    "precreate": lambda side, account: CALLS.pay(account, side.pay_request(Flow.QR)),
    "query": lambda side, account: asked(CALLS.query, account, side.pay_request()),
    "cancel": lambda side, account: asked(CALLS.cancel, account, side.pay_request()),
    "cancel a code on display": lambda side, account: asked(
        CALLS.cancel, account, side.pay_request(Flow.QR)
    ),
    "refund": lambda side, account: CALLS.refund(
        account, side.refund_request(side.pay_request(), 100), 0
    ),
    "refund_query": lambda side, account: CALLS.query_refund(
        account, side.refund_request(side.pay_request(), 100), 0
    ),
}


@pytest.mark.parametrize("act", ACTS)
async def test_an_unlisted_code_is_unknown_and_counted(
    stranger: tuple[DeskSide, RemoteAccount], act: str
) -> None:
    side, account = stranger
    before = counted(side.name, act.partition(" ")[0])
    outcome = await ACTS[act](side, account)
    assert isinstance(outcome, out.Unknown), outcome
    assert WORD in outcome.channel_code
    assert WORD in outcome.evidence
    assert counted(side.name, act.partition(" ")[0]) == before + 1


def counted(channel: str, operation: str) -> float:
    labels = {"channel": channel, "operation": operation}
    return REGISTRY.get_sample_value("tillgate_channel_unlisted_codes_total", labels) or 0.0

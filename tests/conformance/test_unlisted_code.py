"""A word the channel never used before, genuinely signed: it proves nothing, and somebody is told.

No fault of the sandbox process makes up words, so its desk answers here in this very process: same
keys, same seal, no socket.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from prometheus_client import REGISTRY

from adapters.channel import Channel, Flow
from adapters.transport import HttpAnswer, HttpCall, InlineExecutor
from gateway.domain import outcomes as out
from sandbox.acts import Acts
from sandbox.book import Book, now_ms
from sandbox.channel import Account, Desk, Flaw, RawRequest, Reply, Saying
from sandbox.discovery import discover as sandbox_channels
from sandbox.surroundings import Surroundings
from security.secret import decode_hook
from tests.conformance.conftest import MODES, REMOTE
from tests.conformance.side import CLOCK, Postbox, Side

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
async def stranger(request: pytest.FixtureRequest) -> tuple[DeskSide, Channel]:
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
    assert manifest.credentials is not None
    decoded = msgspec.convert(credentials, manifest.credentials, dec_hook=decode_hook)
    return side, manifest.build(decoded, DeskTransport(desk), CLOCK)


Act = Callable[[DeskSide, Channel], Awaitable[Any]]
ACTS: dict[str, Act] = {
    "pay": lambda side, channel: channel.pay(side.pay_request()),
    "pay_qr": lambda side, channel: channel.pay(side.pay_request(Flow.QR)),
    "query": lambda side, channel: channel.query(side.trade(side.pay_request())),
    "cancel": lambda side, channel: channel.cancel(side.trade(side.pay_request())),
    "cancel_qr": lambda side, channel: channel.cancel(side.trade(side.pay_request(Flow.QR))),
    "refund": lambda side, channel: channel.refund(side.refund_request(side.pay_request(), 100)),
    "query_refund": lambda side, channel: channel.query_refund(
        side.refund_request(side.pay_request(), 100)
    ),
}


@pytest.mark.parametrize("act", ACTS)
async def test_an_unlisted_code_is_unknown_and_counted(
    stranger: tuple[DeskSide, Channel], act: str
) -> None:
    side, channel = stranger
    before = counted(side.name)
    outcome = await ACTS[act](side, channel)
    assert isinstance(outcome, out.Unknown), outcome
    assert WORD in outcome.channel_code
    assert WORD in outcome.evidence
    assert counted(side.name) == before + 1


def counted(channel: str) -> float:
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    name = "tillgate_channel_unlisted_codes_total"
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and sample.labels["channel"] == channel
    )

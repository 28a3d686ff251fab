"""The road of one request: verify, find the fault, hold, execute, seal, send.

A fault is a `Plan`; none is an honest one.
"""

import asyncio
import dataclasses
import time
from typing import Any, Final

from aiohttp import web

from sandbox import limits
from sandbox.book import Book, Trade
from sandbox.channel import Account, Call, Desk, Flaw, Lie, RawRequest, Reply, Saying, Sealed
from sandbox.faults import HONEST, MAGIC_CODES, PLANS, Fault, Faults, Plan
from sandbox.ledger import LedgerError
from sandbox.surroundings import Surroundings

_SERVER_ERROR: Final = b"<html><body><h1>500 Internal Server Error</h1></body></html>"


class Exchange:
    """Answers every request of one account, whichever host it came to."""

    def __init__(
        self,
        account: Account,
        desk: Desk,
        surroundings: Surroundings[Any],
        book: Book,
        faults: Faults,
    ) -> None:
        self._account = account
        self._desk = desk
        self._surroundings = surroundings
        self._book = book
        self._faults = faults

    async def serve(self, host: str, request: web.BaseRequest) -> web.StreamResponse:
        """One request to `host`, to its end: a caller that hangs up changes nothing."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = RawRequest(request.method, request.raw_path, headers, body)
        call = self._desk.accept(came)
        if isinstance(call, Reply):
            return _response(await self._desk.seal(call, Flaw.NONE, came))
        plan, fault = self._plan(call, host)
        delay_seconds = (fault.delay_ms if fault else 0) / 1000
        try:
            if plan.hold_before:
                await asyncio.sleep(delay_seconds)
            reply = self._act(call, plan, fault)
            answer = await self._settle(call, reply, plan, came)
        except LedgerError:
            return _drop(request)  # never answer what is not on disk
        if plan.hold_after:
            await asyncio.sleep(delay_seconds)
        return self._send(request, answer, plan, fault)

    def _plan(self, call: Call, host: str) -> tuple[Plan, Fault | None]:
        """An armed fault says how the channel behaves;
        the magic code still says what the customer does.
        """
        magic = MAGIC_CODES.get(call.auth_code[-2:], HONEST) if call.auth_code else HONEST
        fault = self._faults.take(
            self._account.channel, self._account.account, call.operation, host
        )
        if fault is None:
            return magic, None
        plan = PLANS[fault.name]
        if plan.hide and call.operation == "query":
            if not _is_young(call.trade, fault.delay_ms, self._surroundings):
                fault.give_back()
                return HONEST, None
            plan = Plan(execute=False, say=Saying.NOT_FOUND)
        if plan.customer is None and magic.customer is not None:
            plan = dataclasses.replace(plan, customer=magic.customer)
        return plan, fault

    def _act(self, call: Call, plan: Plan, fault: Fault | None) -> Reply:
        """Executes (in memory, at once) and decides what is said."""
        if not plan.execute:
            return call.say(plan.say or Saying.SYSTEM_ERROR)
        refusal = call.refused()
        if refusal is not None:
            return refusal
        seen_before = call.trade is not None
        orders = plan.orders(fault.delay_ms if fault else 0)
        if call.operation == "refund" and self._faults.is_callback_first(
            self._account.channel, self._account.account
        ):
            orders = dataclasses.replace(orders, refund_at_once=True)
        reply = call.execute(orders)
        trade = call.trade
        if trade and not seen_before:
            self._hide(trade, plan, fault)
        if plan.lie is not Lie.NONE and not self._desk.lie(reply, plan.lie) and fault:
            fault.give_back()
        return call.say(plan.say) if plan.say else reply

    def _hide(self, trade: Trade, plan: Plan, fault: Fault | None) -> None:
        if plan.hide and fault:
            trade.visible_from = time.monotonic() + fault.delay_ms / 1000
        elif plan.loses_answer:
            scale = limits.PROFILE_SCALE[self._account.profile]
            trade.visible_from = time.monotonic() + self._surroundings.query_lag_seconds(scale)

    async def _settle(self, call: Call, reply: Reply, plan: Plan, came: RawRequest) -> Sealed:
        """Signs while the ledger fsyncs; returns when both are done and a callback
        that goes first has gone.
        """
        if plan.rotate:
            await self._desk.rotate_key()
        sealing = asyncio.ensure_future(self._desk.seal(reply, plan.flaw, came))
        try:
            trade = call.trade
            await self._book.durable(trade) if trade else None
            if trade and trade.told_first is not None:
                await asyncio.wait({trade.told_first}, timeout=limits.CALLBACK_TIMEOUT_SECONDS)
                trade.told_first = None
        except LedgerError:
            sealing.cancel()
            raise
        return await sealing

    def _send(
        self, request: web.BaseRequest, answer: Sealed, plan: Plan, fault: Fault | None
    ) -> web.StreamResponse:
        match plan.send:
            case "drop":
                return _drop(request)
            case "cut" if answer.body:
                return _cut(request, answer, fault)
            case "cut":
                return _drop(request)
            case "http_500":
                return web.Response(status=500, body=_SERVER_ERROR, content_type="text/html")
            case _:
                return _response(answer)


def _is_young(trade: Trade | None, age_ms: int, surroundings: Surroundings[Any]) -> bool:
    return trade is not None and surroundings.now_ms() - trade.created_at_ms < age_ms


def _response(answer: Sealed) -> web.Response:
    return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)


def _drop(request: web.BaseRequest) -> web.Response:
    """Closes the connection without an HTTP answer; what is returned meets a closed transport."""
    request.protocol.force_close()
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _cut(request: web.BaseRequest, answer: Sealed, fault: Fault | None) -> web.Response:
    """Sends the whole head and a part of the body, then closes:
    the length that was promised never comes.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        return web.Response()
    size = fault.chance.randrange(len(answer.body)) if fault else 0
    head = f"HTTP/1.1 {answer.status} OK\r\nContent-Length: {len(answer.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    transport.write(head.encode() + b"\r\n" + answer.body[:size])
    request.protocol.force_close()  # after which the request knows no transport any more
    transport.close()
    return web.Response()

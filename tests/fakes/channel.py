"""A remote channel of a simulated world as a worker calls it: the line to the far side is honest,
slow, forgetful of answers, or late, as the channel's nature says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from adapters.channel import Callback, CallbackAnswer, PayRequest, RefundRequest, TradeRef
from gateway.domain import outcomes as o
from gateway.limits import CALL_TIMEOUT_MS
from tests.fakes.far_side import FarSide

CALL_S = CALL_TIMEOUT_MS / 1000
YES, NO = (
    CallbackAnswer(status=200, content_type="text/plain", body=b"yes"),
    CallbackAnswer(status=500, content_type="text/plain", body=b"no"),
)


class SimChannel(FarSide):
    """One channel account; a subclass may plant a bug between the gateway and the far side."""

    hosts = 2  # with one ledger behind them

    async def pay(self, request: PayRequest) -> o.PayOutcome:
        """At most one execution, at `not_after` at the latest."""
        await self._pause(0.3)
        if self._hit("unreachable") or self._clock.monotonic() > request.deadline:
            return o.NotSent(reason="no connection")
        return await self._asked(
            lambda: self.act_pay(request),
            o.Unknown(reason="timeout"),
            late_s=self._lateness(request),
        )

    async def query(self, trade: TradeRef) -> o.QueryOutcome:
        """What the ledger says now."""
        return await self._asked(lambda: self.act_query(trade), o.Unknown(reason="timeout"))

    async def cancel(self, trade: TradeRef) -> o.CancelOutcome:
        """Takes the money back, or says why not."""
        late_s = self._chance.uniform(4, 9) if self._hit("late") else 0.0
        return await self._asked(
            lambda: self.act_cancel(trade), o.Unknown(reason="timeout"), late_s=late_s
        )

    async def refund(self, request: RefundRequest) -> o.RefundOutcome:
        """Once per refund number."""
        return await self._asked(lambda: self.act_refund(request), o.Unknown(reason="timeout"))

    async def query_refund(self, request: RefundRequest) -> o.RefundQueryOutcome:
        """What the ledger says now."""
        return await self._asked(
            lambda: self.act_query_refund(request), o.Unknown(reason="timeout")
        )

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """Our own words come back; nobody forges them in here."""
        del headers
        told = json.loads(body)
        learned: o.Succeeded | o.Closed = o.Succeeded(
            amount=told["amount"], channel_trade_no="C" + told["number"]
        )
        if told["event"] == "closed":
            learned = o.Closed(was_charged=True)
        key = f"{told['event']}:{told['number']}"
        return Callback(
            event_key=key,
            kind="pay",
            out_trade_no=told["number"],
            amount=told["amount"],
            learned=learned,
        )

    def callback_accepted(self) -> CallbackAnswer:
        """Do not send it again."""
        return YES

    def callback_refused(self) -> CallbackAnswer:
        """Send it again."""
        return NO

    # --- the line between

    async def _asked(self, act: Callable[[], Any], nothing: Any, late_s: float = 0.0) -> Any:
        """Over there `act` happens once, or never;
        here its answer arrives in time, or `nothing` does.
        """
        if self._hit("lost_before"):
            await asyncio.sleep(CALL_S)
            return nothing
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._spawn(
            self._arrives(
                act, answer, late_s + self._chance.uniform(0.01, 0.2) + self._seconds("slow", 6.0)
            )
        )
        try:
            async with asyncio.timeout(CALL_S):
                found = await asyncio.shield(answer)
                await asyncio.sleep(self._seconds("slow", 4.0))
        except TimeoutError:
            return nothing
        return nothing if found is None or self._hit("lost_after") else found

    async def _arrives(
        self, act: Callable[[], Any], answer: asyncio.Future[Any], after_s: float
    ) -> None:
        await asyncio.sleep(after_s)
        found = act()
        if not answer.done():
            answer.set_result(found)

    def _lateness(self, request: PayRequest) -> float:
        """Sometimes seconds, sometimes until about the request's own death."""
        if not self._hit("late"):
            return 0.0
        life = (request.not_after - self._clock.now()).total_seconds()
        return self._chance.choice(
            (self._chance.uniform(1, 40), self._chance.uniform(0.5, 1.05) * life)
        )

    async def _pause(self, seconds_max: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, seconds_max))

    def _seconds(self, what: str, seconds_max: float) -> float:
        return self._chance.uniform(0, seconds_max) if self._hit(what) else 0.0

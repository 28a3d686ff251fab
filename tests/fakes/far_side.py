"""What happens at a simulated channel: its ledger, its customers and its callbacks.

It keeps the contract that the proofs rest on, unless its nature is to break it: a number is used
once, a request acts no later than its `not_after`, a confirmed cancel is final, a trade that says
"use a refund" is never cancelled. It never touches the gateway's books.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from adapters.channel import Flow, PayRequest, RefundRequest, TradeRef
from gateway.domain import outcomes as o
from tests.simulation.clock import SimClock

LAG_S_MAX = 2.0  # a new trade may be invisible to queries this long
CALLBACK_PAUSES_S = (5.0, 15.0, 30.0, 60.0, 120.0, 240.0)


@dataclass(frozen=True, slots=True)
class Nature:
    """Probabilities of one world's channel; all 0 and True: honest."""

    unreachable: float = 0.0  # no connection
    lost_before: float = 0.0  # a request never arrives
    lost_after: float = 0.0  # it acts, its answer is lost
    late: float = 0.0  # it acts much later than anybody waits
    slow: float = 0.0  # it takes seconds
    declines: float = 0.1
    # The account may not sell: a refusal that the payer did not cause.
    blocked: float = 0.0
    types: float = 0.2  # the payer has to type a password first ...
    never_types: float = 0.3  # ... and may never do it
    again: float = 0.0  # a cancel asks to be called again
    too_late: float = 0.0  # a charge that no cancel can take back
    refund_waits: float = 0.0
    callback: float = 0.9  # a charge is told at all
    callbacks_twice: float = 0.0
    tombstone: bool = True  # a cancel of a number never seen blocks it
    breaks_contract: float = 0.0  # charges in spite of a confirmed cancel


@dataclass(slots=True)
class Trade:
    """One number at the channel."""

    number: str
    amount: int
    state: str  # pending, charged, reversed, closed
    seen_from: float
    final: bool = False
    charged_at: float | None = None
    returned_at: float | None = None
    refunds: dict[str, tuple[int, bool]] = field(default_factory=dict)  # number -> (fen, done)
    captures: int = 0

    @property
    def refunded(self) -> int:
        return sum(amount for amount, done in self.refunds.values() if done)

    @property
    def held(self) -> int:
        """Fen of the customer that the merchant still has."""
        return self.amount - self.refunded if self.state == "charged" else 0


class FarSide:
    """One account at the channel.

    An `act_…` is what a request does when it arrives, at once and whole. `deliver(body)` brings a
    callback to the gateway and says whether it was accepted.
    """

    def __init__(
        self,
        nature: Nature,
        chance: random.Random,
        clock: SimClock,
        deliver: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        self.nature, self.calm = nature, False
        self.ledger: dict[str, Trade] = {}
        self.counts: dict[str, int] = {}
        # (payment code, number): what reached the wallet.
        self.codes_seen: list[tuple[str, str]] = []
        self._chance, self._clock, self._deliver = chance, clock, deliver
        # What the channel does belongs to no worker: no crash of ours stops it.
        self._own = contextvars.Context()
        self._tasks: dict[asyncio.Task[None], None] = {}

    @property
    def busy(self) -> bool:
        """Something is still going to happen over there."""
        return bool(self._tasks)

    def act_pay(self, request: PayRequest) -> o.PayOutcome | None:
        if self._clock.now() > request.not_after:
            return None  # expired on its way: refused without a word we would trust
        if request.out_trade_no in self.ledger:
            return o.AlreadyExists()
        for secret in request.presented.secrets:
            self.codes_seen.append((secret.reveal(), request.out_trade_no))
        if self._hit("blocked"):
            return o.Declined(
                code=o.FailureCode.MERCHANT_RESTRICTED,
                retry=o.Retry.OTHER_METHOD,
                failover_useful=True,
            )
        if request.flow is Flow.QR:
            return self._shown(request)
        if self._hit("declines"):
            return o.Declined(
                code=o.FailureCode.INSUFFICIENT_BALANCE,
                retry=o.Retry.OTHER_METHOD,
                failover_useful=False,
            )
        trade = self._entered(request)
        if not self._hit("types"):
            return self._charged(trade)
        if not self._hit("never_types"):
            self._spawn(self._types(trade, request))
        return o.PayerActionNeeded(channel_code="USERPAYING")

    def _shown(self, request: PayRequest) -> o.PayOutcome:
        """Nothing exists over there until somebody scans, which they may do until the code's death,
        whatever was cancelled before.
        """
        if not self._hit("never_types"):
            self._spawn(self._scans(request))
        return o.PayerActionNeeded(qr_code=f"qr:{request.out_trade_no}")

    async def _scans(self, request: PayRequest) -> None:
        await asyncio.sleep(self._chance.uniform(1, 320))
        if self._clock.now() <= request.not_after and request.out_trade_no not in self.ledger:
            self._charged(self._entered(request))

    async def _types(self, trade: Trade, request: PayRequest) -> None:
        await asyncio.sleep(self._chance.uniform(1, 70))
        if self._clock.now() <= request.not_after and trade.state == "pending":
            self._charged(trade)

    def _entered(self, request: PayRequest) -> Trade:
        lag = (
            0.0
            if self.calm
            else self._chance.uniform(0, LAG_S_MAX) * (self._chance.random() < self.nature.slow)
        )
        trade = Trade(
            request.out_trade_no,
            request.amount,
            "pending",
            self._clock.monotonic() + lag,
            final=self._hit("too_late"),
        )
        self.ledger[trade.number] = trade
        return trade

    def _charged(self, trade: Trade) -> o.Succeeded:
        trade.state, trade.charged_at, trade.returned_at = "charged", self._clock.monotonic(), None
        trade.captures += 1
        self._tell(trade, "paid")
        return self._yes(trade)

    def _yes(self, trade: Trade) -> o.Succeeded:
        return o.Succeeded(amount=trade.amount, channel_trade_no="C" + trade.number)

    def act_query(self, asked: TradeRef) -> o.QueryOutcome:
        trade = self.ledger.get(asked.out_trade_no)
        if trade is None or trade.seen_from > self._clock.monotonic():
            return o.NotFound()
        if trade.state == "pending":
            return o.PayerActionNeeded(channel_code="USERPAYING")
        if trade.state == "charged":
            return self._yes(trade) if trade.held else o.Closed(was_charged=True)
        return o.Closed(was_charged=trade.charged_at is not None)

    def act_cancel(self, asked: TradeRef) -> o.CancelOutcome:
        trade = self.ledger.get(asked.out_trade_no)
        if self._hit("again"):
            return o.CallAgain()
        if trade is None and not self.nature.tombstone:
            return o.NothingThere()
        if trade is None:
            self.ledger[asked.out_trade_no] = Trade(asked.out_trade_no, asked.amount, "closed", 0.0)
            return o.Reversed(was_charged=False)
        if trade.state == "charged" and (trade.final or trade.refunds):
            return o.UseRefund()
        charged = trade.state in ("charged", "reversed")
        if trade.state == "charged":
            trade.state, trade.returned_at = "reversed", self._clock.monotonic()
        elif trade.state == "pending":
            trade.state = "closed"
            if self._hit("breaks_contract"):
                self._spawn(self._charges_anyway(trade))
        return o.Reversed(was_charged=charged)

    async def _charges_anyway(self, trade: Trade) -> None:
        await asyncio.sleep(self._chance.uniform(1, 60))
        self.counts["late money"] = self.counts.get("late money", 0) + 1
        self._charged(trade)

    def act_refund(self, asked: RefundRequest) -> o.RefundOutcome:
        trade = self.ledger.get(asked.out_trade_no)
        if trade is None or trade.state != "charged":
            return o.RefundDeclined(code="refund_closed", needs_action=False)
        if asked.out_refund_no not in trade.refunds:
            if (
                sum(amount for amount, _ in trade.refunds.values()) + asked.refund_amount
                > trade.amount
            ):
                return o.RefundDeclined(code="refund_refused", needs_action=False)
            trade.refunds[asked.out_refund_no] = (asked.refund_amount, False)
            if self._hit("refund_waits"):
                self._spawn(self._refunds_later(trade, asked.out_refund_no))
            else:
                self._refunded(trade, asked.out_refund_no)
        return self._refund_state(trade, asked.out_refund_no)

    async def _refunds_later(self, trade: Trade, number: str) -> None:
        await asyncio.sleep(self._chance.uniform(1, 90))
        self._refunded(trade, number)

    def _refunded(self, trade: Trade, number: str) -> None:
        trade.refunds[number] = (trade.refunds[number][0], True)
        if not trade.held:
            trade.returned_at = self._clock.monotonic()
            self._tell(trade, "closed")

    def act_query_refund(self, asked: RefundRequest) -> o.RefundQueryOutcome:
        trade = self.ledger.get(asked.out_trade_no)
        if trade is None or asked.out_refund_no not in trade.refunds:
            return o.RefundNotFound()
        return self._refund_state(trade, asked.out_refund_no)

    def _refund_state(self, trade: Trade, number: str) -> o.RefundSucceeded | o.RefundPending:
        amount, done = trade.refunds[number]
        return (
            o.RefundSucceeded(amount=amount, channel_refund_no="R" + number)
            if done
            else o.RefundPending()
        )

    def _tell(self, trade: Trade, event: str) -> None:
        body = json.dumps({"event": event, "number": trade.number, "amount": trade.amount}).encode()
        if self._hit("callback") or self.nature.breaks_contract:
            for _ in range(2 if self._hit("callbacks_twice") else 1):
                self._spawn(self._tells(body))

    async def _tells(self, body: bytes) -> None:
        await asyncio.sleep(
            self._chance.uniform(0.0, 20.0) if self._chance.random() < 0.5 else 0.05
        )
        for pause in (*CALLBACK_PAUSES_S, *[CALLBACK_PAUSES_S[-1]] * 30):
            if await self._deliver(body):
                return
            await asyncio.sleep(pause)

    def _hit(self, what: str) -> bool:
        """Whether this call meets that fate.

        A calm channel does what it says; its customers stay as they are.
        """
        if self.calm and what not in (
            "declines",
            "types",
            "never_types",
            "callback",
            "breaks_contract",
        ):
            return False
        hit = self._chance.random() < getattr(self.nature, what)
        if hit:
            self.counts[what] = self.counts.get(what, 0) + 1
        return hit

    def _spawn(self, act: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(act, context=self._own)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

"""The courier: takes what is due from the outbox, tells the merchants, notes what they said.

What follows from an answer is `webhooks.delivery`'s, who may be called is `security.egress`'s.

At least once: a courier that dies between the merchant's answer and the note of it leaves a lease
that ends, and the next one sends the same bytes under the same id. A courier that stood still past
its lease sends nothing any more, and what it notes is refused.

A slow merchant delays no other: the outbox leases only a few rows of one endpoint and of one
merchant at a time, merchants take turns, every try is bounded, and an endpoint that fails again and
again rests (`webhooks.rest`). There is one layer of retries, the outbox's.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import assert_never

import structlog

from gateway.cases import CaseBook, open_case
from gateway.clock import Clock, Ids
from gateway.domain.case import Case, CaseKind
from gateway.domain.errors import GatewayError
from gateway.domain.payment import Evidence
from gateway.domain.words import EvidenceWord, Source
from gateway.limits import (
    WEBHOOK_CONCURRENCY_MAX,
    WEBHOOK_GAP_MS,
    WEBHOOK_INTERVAL_MS,
    WEBHOOK_LEASE_MS,
    WEBHOOK_TIMEOUT_MS,
    WEBHOOKS_IN_FLIGHT_MAX,
    WEBHOOKS_PER_MERCHANT_MAX,
)
from gateway.loops import Rounds, pause
from gateway.telemetry.metrics import WEBHOOK_LAG, WEBHOOKS
from gateway.webhooks.delivery import (
    Delivered,
    GivenUp,
    Gone,
    Postponed,
    Verdict,
    body_of,
    judged,
    put_off,
)
from gateway.webhooks.line import Line, NoReply, Reply
from gateway.webhooks.outbox import Delivery, Outbox, TryResult
from gateway.webhooks.rest import EndpointRest
from security.webhook_signature import WebhookSecretUnfit, signed_headers

log = structlog.get_logger("tillgate.courier")


@dataclass(frozen=True, slots=True)
class _Try:
    """What came of one try: for the log, and what follows."""

    heard: TryResult
    verdict: Verdict


class Courier:
    """One loop; tries run side by side.

    `chance` lengthens waits; `interval_ms`: how often to look while nothing is due.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        line: Line,
        cases: CaseBook,
        clock: Clock,
        ids: Ids,
        chance: random.Random,
        interval_ms: int = WEBHOOK_INTERVAL_MS,
    ) -> None:
        self._outbox, self._line, self._cases = outbox, line, cases
        self._clock, self._ids, self._chance = clock, ids, chance
        self._interval_ms = interval_ms
        self._rest = EndpointRest(clock)
        self._tries: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        # No other loop tells merchants: this one goes on whatever the store says.
        self._rounds = Rounds(log, "webhooks")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; tries under way are finished and noted first."""
        while not stop.is_set():
            self._ended.clear()
            room = WEBHOOKS_IN_FLIGHT_MAX - len(self._tries)
            taken = 0
            if room:
                with self._rounds:
                    taken = await self._take(room)
            if taken:
                await pause(WEBHOOK_GAP_MS, stop)
            else:  # an endpoint's slot that becomes free may have the next one waiting
                await pause(self._interval_ms, stop, self._ended)
        await asyncio.gather(*self._tries, return_exceptions=True)

    async def _take(self, room: int) -> int:
        # Before the lease begins, so that ours ends no later than the database's.
        asked = self._clock.monotonic()
        found = await self._outbox.take(
            room, WEBHOOK_LEASE_MS, WEBHOOK_CONCURRENCY_MAX, WEBHOOKS_PER_MERCHANT_MAX
        )
        WEBHOOK_LAG.set(max((self._lag_s(each) for each in found if each.tries == 1), default=0.0))
        for delivery in found:
            task = asyncio.create_task(
                self._finished(delivery, asked),
                name=f"webhook {delivery.event_id} {delivery.endpoint_id}",
            )
            self._tries.add(task)
            task.add_done_callback(self._is_done)
        return len(found)

    def _lag_s(self, delivery: Delivery) -> float:
        return max(0.0, (self._clock.now() - delivery.first_due_at).total_seconds())

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._tries.discard(task)
        self._ended.set()

    async def _finished(self, delivery: Delivery, leased_at: float) -> None:
        """A try that breaks is tried again when the lease ends."""
        try:
            await self._deliver(delivery, leased_at)
        except GatewayError as error:
            log.warning(
                "webhook_not_noted",
                event_id=delivery.event_id,
                endpoint_id=delivery.endpoint_id,
                error=error.code,
            )
        except Exception:
            log.exception(
                "webhook_broken", event_id=delivery.event_id, endpoint_id=delivery.endpoint_id
            )

    async def _deliver(self, delivery: Delivery, leased_at: float) -> None:
        if refusal := self._rest.refusal(delivery.endpoint_id):
            await self._note(delivery, self._put_off(delivery, *refusal))
            return
        try:
            done = await self._sent(delivery, leased_at)
        except BaseException:
            self._rest.not_sent(delivery.endpoint_id)
            raise
        if done is None:
            self._rest.not_sent(delivery.endpoint_id)
            WEBHOOKS.labels("lease_lost").inc()
            return
        self._remember(delivery, done)
        await self._note(delivery, done)

    def _put_off(self, delivery: Delivery, wait_ms: int, words: str) -> _Try:
        """The endpoint rests: a step of the backoff without a try."""
        now = self._clock.now()
        verdict = put_off(delivery, wait_ms, now=now, chance=self._chance.random())
        return _Try(TryResult(at=now, status=None, words=words, took_ms=0), verdict)

    async def _sent(self, delivery: Delivery, leased_at: float) -> _Try | None:
        """One try; None when too little of the lease is left for one: another courier has it, or
        will.
        """
        started, now = self._clock.monotonic(), self._clock.now()
        if (started - leased_at) * 1000 > WEBHOOK_LEASE_MS - WEBHOOK_TIMEOUT_MS:
            return None
        reply, words = await self._answer(delivery, int(now.timestamp()))
        took_ms = int((self._clock.monotonic() - started) * 1000)
        status, headers = (reply.status, reply.headers) if reply else (None, {})
        verdict = judged(
            delivery, status, headers, now=self._clock.now(), chance=self._chance.random()
        )
        return _Try(TryResult(at=now, status=status, words=words, took_ms=took_ms), verdict)

    async def _answer(self, delivery: Delivery, timestamp: int) -> tuple[Reply | None, str]:
        body = body_of(delivery)
        try:
            headers = signed_headers(
                delivery.secrets, message_id=delivery.event_id, timestamp=timestamp, body=body
            )
            reply = await self._line.post(delivery.url, headers, body)
        except WebhookSecretUnfit as unfit:
            log.warning("webhook_secret_unfit", endpoint_id=delivery.endpoint_id, reason=str(unfit))
            return None, f"not sent: {unfit}; rotate the secret"
        except NoReply as silence:
            return None, silence.reason
        return reply, reply.words

    def _remember(self, delivery: Delivery, done: _Try) -> None:
        match done.verdict:
            case Delivered() | Gone():
                self._rest.forget(delivery.endpoint_id)
            case Postponed(asked_ms=asked_ms):
                self._rest.failed(delivery.endpoint_id, _short(done.heard), asked_ms)
            case GivenUp():
                self._rest.failed(delivery.endpoint_id, _short(done.heard))

    async def _note(self, delivery: Delivery, done: _Try) -> None:
        match done.verdict:
            case Delivered():
                kept, result = await self._outbox.delivered(delivery, done.heard), "delivered"
            case Gone():
                kept, result = await self._outbox.disabled(delivery, done.heard), "disabled"
            case Postponed(wait_ms=wait_ms):
                kept, result = (
                    await self._outbox.postponed(delivery, done.heard, wait_ms),
                    "postponed",
                )
            case GivenUp():
                kept, result = await self._outbox.given_up(delivery, done.heard), "given_up"
            case _:
                assert_never(done.verdict)
        WEBHOOKS.labels(result if kept else "lease_lost").inc()
        if not kept:
            log.warning(
                "webhook_lease_lost", event_id=delivery.event_id, endpoint_id=delivery.endpoint_id
            )
        elif result in {"disabled", "given_up"}:
            await self._tell_people(delivery, done.heard, result)

    async def _tell_people(self, delivery: Delivery, heard: TryResult, result: str) -> None:
        """A merchant does not hear of its money any more: one open case an endpoint, however many
        letters are dead.
        """
        about = {
            "merchant_id": delivery.merchant_id,
            "endpoint_id": delivery.endpoint_id,
            "event_id": delivery.event_id,
        }
        if result == "disabled":
            log.warning("webhook_endpoint_gone", **about)
            return
        log.error(
            "webhook_given_up",
            **about,
            type=delivery.type,
            tries=delivery.tries,
            last=_short(heard),
        )
        words = (
            f"{delivery.type} {delivery.event_id} was given up after {delivery.tries} tries, "
            f"the last: {_short(heard)}"
        )
        case = Case(
            id=self._ids.new("case"),
            kind=CaseKind.WEBHOOK_GIVEN_UP,
            evidence=Evidence(
                at=heard.at, source=Source.WEBHOOK, outcome=EvidenceWord.GIVEN_UP, words=words
            ),
        )
        await open_case(self._cases, delivery.merchant_id, delivery.endpoint_id, case)


def _short(heard: TryResult) -> str:
    return heard.words if heard.status is None else f"HTTP {heard.status}"

"""What the run came to, read from the tills' notes, the gateway's tables and the sandbox's ledger.

Times are seconds since the load began.

Nothing is taken from the gateway's own counters.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import asyncpg

from gateway.domain.outcomes import Proof
from gateway.domain.states import PAYMENT_FINAL, PAYMENT_UNCHARGED
from loadtests.drill.darkness import Clock, Phase
from loadtests.drill.tills import Customer

ATTEMPTS = """SELECT a.payment_id, a.number, a.channel_account, a.why,
  a.evidence::text AS evidence, p.order_no
FROM attempt a JOIN payment p ON p.merchant_id = a.merchant_id AND p.id = a.payment_id
ORDER BY p.order_no, a.trade_number"""
EVENTS = """SELECT object_id, data->>'status' AS status, at FROM event
WHERE data->>'object' = 'payment' ORDER BY object_id, version"""
BREAKERS = """SELECT worker, "to", reason, at FROM channel_health_event
WHERE account = $1 AND what = 'breaker' AND operation = 'pay'
  AND worker IN (SELECT worker_id FROM attempt WHERE number = 1)
ORDER BY seq"""
SCORES = "SELECT count(*) FROM channel_health_event WHERE account = $1 AND what = 'score'"
# Outcomes that are no word of the channel about the payment.
SILENT = frozenset({"Unknown", "NotSent", "AlreadyExists"})
OURS = frozenset({"Taken", "CancelSent"})  # notes of our own among the evidence


@dataclass(slots=True)
class Part:
    """One phase. Latencies in seconds, of the answer to the first tap."""

    customers: int = 0
    first_tap: int = 0  # paid at the first tap within patience
    rescanned: int = 0  # paid at a further one within patience
    later: int = 0  # paid, but the customer had waited too long
    unpaid: int = 0
    repeats: int = 0
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def approved(self) -> float:
        """Share of customers that were served."""
        return (self.first_tap + self.rescanned) / self.customers if self.customers else 1.0

    @property
    def approved_at_first_tap(self) -> float:
        """As `approved`, without a further scan."""
        return self.first_tap / self.customers if self.customers else 1.0


@dataclass(slots=True)
class Doubt:
    """Payments that were in doubt. Seconds."""

    lasted_s: list[float] = field(default_factory=list)  # from in_doubt to final
    # From the return of A to final, of those still in doubt then.
    after_light_s: list[float] = field(default_factory=list)
    # From the first definite answer to final.
    after_answer_s: list[float] = field(default_factory=list)
    # From the first answer of any kind to final.
    after_word_s: list[float] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    open: int = 0


@dataclass(slots=True)
class Failovers:
    """`before`: first attempts at a backup because of A's health.

    `after`: further attempts in one payment, by the proof before them.
    """

    before: int = 0
    after: Counter[str] = field(default_factory=Counter)
    # Further payments of a tender, by the proof that ended the one before.
    rescans: Counter[str] = field(default_factory=Counter)
    unproven: int = 0  # any further attempt whose predecessor has no proof
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Breakers:
    """Of account A, one entry for each worker that opens payments,
    seconds after dark and after light.
    """

    opened_s: list[float] = field(default_factory=list)
    closed_s: list[float] = field(default_factory=list)
    # When, worker, to, reason.
    moves: list[tuple[float, str, str, str]] = field(default_factory=list)
    score_steps: int = 0


@dataclass(slots=True)
class Findings:
    """Everything the report shows."""

    parts: dict[Phase, Part]
    failovers: Failovers
    doubt: Doubt
    breakers: Breakers
    last_paid_at_a_s: float  # after dark; seconds of A's last approval before it was left
    first_paid_at_a_s: float  # after light; of customers who came after it
    violations: list[str] = field(default_factory=list)

    def outside(self) -> Part:
        """All customers but those of the first two seconds."""
        whole = Part()
        for phase, part in self.parts.items():
            if phase is not Phase.ONSET:
                whole.customers += part.customers
                whole.first_tap += part.first_tap
                whole.rescanned += part.rescanned
        return whole


async def found(
    dsn: str, clock: Clock, customers: Sequence[Customer], accounts: dict[str, str]
) -> Findings:
    """Read the tables and add everything up."""
    connection = await asyncpg.connect(dsn)
    try:
        attempts = [dict(row) for row in await connection.fetch(ATTEMPTS)]
        events = [dict(row) for row in await connection.fetch(EVENTS)]
        moves = [dict(row) for row in await connection.fetch(BREAKERS, accounts["A"])]
        score_steps = await connection.fetchval(SCORES, accounts["A"])
    finally:
        await connection.close()
    for attempt in attempts:
        attempt["evidence"] = json.loads(attempt["evidence"] or "[]")
    at_a = [customer for customer in customers if customer.account == accounts["A"]]
    dark = [customer.paid_s for customer in at_a if clock.dark_s <= customer.paid_s < clock.light_s]
    light = [customer.paid_s for customer in at_a if customer.arrived_s >= clock.light_s]
    return Findings(
        parts=_parts(customers, clock),
        failovers=_failovers(attempts, accounts["A"]),
        doubt=_doubt(events, attempts, clock),
        breakers=_breakers(moves, score_steps, clock),
        last_paid_at_a_s=max(dark, default=clock.dark_s) - clock.dark_s,
        first_paid_at_a_s=min(light, default=float("inf")) - clock.light_s,
    )


def _parts(customers: Iterable[Customer], clock: Clock) -> dict[Phase, Part]:
    parts = {phase: Part() for phase in Phase}
    for customer in customers:
        part = parts[clock.phase(customer.arrived_s, customer.answered_s)]
        part.customers += 1
        if customer.paid_s == float("inf"):
            part.unpaid += 1
        elif not customer.was_served:
            part.later += 1
        elif len(customer.taps) == 1:
            part.first_tap += 1
        else:
            part.rescanned += 1
        part.repeats += sum(tap.repeats for tap in customer.taps)
        part.failures.update(tap.failure for tap in customer.taps if tap.failure)
        if customer.answered_s < float("inf"):
            part.latencies_s.append(customer.answered_s - customer.arrived_s)
    return parts


def _failovers(attempts: list[dict[str, Any]], first_choice: str) -> Failovers:
    counted = Failovers()
    for _, group in groupby(attempts, key=lambda attempt: attempt["order_no"]):
        before: dict[str, Any] | None = None
        for attempt in group:
            if (
                attempt["number"] == 1
                and attempt["channel_account"] != first_choice
                and "health: " in attempt["why"]
            ):
                counted.before += 1
                counted.reasons[_state_of(first_choice, attempt["why"])] += 1
            if before is not None:
                proof = next((item for item in before["evidence"] if item.get("proof")), None)
                counted.unproven += proof is None
                (counted.after if attempt["number"] > 1 else counted.rescans)[_named(proof)] += 1
            before = attempt
    return counted


def _named(proof: dict[str, Any] | None) -> str:
    """P0 with its reason: a closed door is one thing, a deadline of our own that passed another."""
    if proof is None:
        return "none"
    return (
        f"{proof['proof']} {proof.get('code', '')}".strip()
        if proof["proof"] == Proof.NEVER_SENT
        else str(proof["proof"])
    )


def _state_of(account: str, why: str) -> str:
    """What the reason for the choice says of this account:
    open, half_open, score, full, another worker's word.
    """
    notes = why.partition("health: ")[2].split("; after attempt")[0]
    note = next((note for note in notes.split(", ") if note.startswith(account)), "nothing")
    return " ".join(note.removeprefix(account).split()[:1]) or note


def _doubt(events: list[dict[str, Any]], attempts: list[dict[str, Any]], clock: Clock) -> Doubt:
    doubt = Doubt()
    evidence: dict[str, list[dict[str, Any]]] = {}
    for attempt in attempts:
        evidence.setdefault(attempt["payment_id"], []).extend(attempt["evidence"])
    for payment_id, group in groupby(events, key=lambda event: event["object_id"]):
        began_s: float | None = None
        for event in group:
            now_s = clock.seconds(event["at"])
            if event["status"] == "in_doubt" and began_s is None:
                began_s = now_s
            elif began_s is not None and event["status"] in PAYMENT_FINAL:
                _settled(
                    doubt,
                    evidence[payment_id],
                    began_s,
                    now_s,
                    clock,
                    is_paid=event["status"] not in PAYMENT_UNCHARGED,
                )
                doubt.ended[event["status"]] += 1
                break
        else:
            doubt.open += began_s is not None
    return doubt


def _settled(
    doubt: Doubt,
    evidence: list[dict[str, Any]],
    began_s: float,
    ended_s: float,
    clock: Clock,
    *,
    is_paid: bool,
) -> None:
    """A yes that was heard while a cancel was under way is not definite: the cancel may still take
    the money back.
    """
    doubt.lasted_s.append(ended_s - began_s)
    if began_s < clock.light_s <= ended_s:
        doubt.after_light_s.append(ended_s - clock.light_s)
    answers = [item for item in evidence if item["outcome"] not in SILENT | OURS]
    for item in answers[:1]:
        doubt.after_word_s.append(ended_s - _seconds(item, clock))
    for item in [
        item
        for item in answers
        if item.get("proof") or (is_paid and item["outcome"] == "Succeeded")
    ][:1]:
        doubt.after_answer_s.append(ended_s - _seconds(item, clock))


def _seconds(item: dict[str, Any], clock: Clock) -> float:
    return clock.seconds(datetime.fromisoformat(item["at"]))


def _breakers(moves: list[dict[str, Any]], score_steps: int, clock: Clock) -> Breakers:
    breakers = Breakers(score_steps=score_steps)
    opened: dict[str, float] = {}
    closed: dict[str, float] = {}
    for move in moves:
        now_s = clock.seconds(move["at"])
        breakers.moves.append((now_s, move["worker"], move["to"], move["reason"]))
        if move["to"] == "open" and now_s >= clock.dark_s:
            opened.setdefault(move["worker"], now_s - clock.dark_s)
        if now_s >= clock.light_s and move["worker"] in opened:
            if move["to"] == "closed":
                closed[move["worker"]] = now_s - clock.light_s
            else:
                closed.pop(move["worker"], None)
    breakers.opened_s, breakers.closed_s = sorted(opened.values()), sorted(closed.values())
    return breakers

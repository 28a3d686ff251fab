"""The judge of a world: three books that know nothing of each other, the gateway's, the channels'
and the tills', must tell one story.

`violations` names what does not fit, by the invariant it breaks; it trusts no counter of the
gateway.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import (
    ATTEMPT,
    ATTEMPT_LIVE,
    PAYMENT_FINAL,
    PAYMENT_STATES,
    PAYMENT_UNCHARGED,
    REFUND,
    payment_moves,
)
from tests.fakes.far_side import Trade
from tests.fakes.store import MemoryStore
from tests.simulation.till import Journal
from tests.simulation.worker import MERCHANT

PROOFS = {"P0", "P1", "P2", "P3", "P4"}
EXPECTED_CASES = {
    "override",
    "captured_late",
    "captured_surplus",
    "long_in_doubt",
    "closed_after_success",
}


def violations(
    store: MemoryStore,
    ledger: Mapping[str, Trade],
    journal: Journal,
    codes_seen: Iterable[tuple[str, str]],
    *,
    contract_kept: bool,
) -> list[str]:
    """Everything that does not fit, once the world stands still.

    `codes_seen`: (payment code, number) as they reached a wallet.
    """
    tried = {a.out_trade_no: (p, a) for p in store.payment_rows.values() for a in p.attempts}
    return [
        *_one_charge_an_order(store, ledger, contract_kept=contract_kept),
        *_never_more_than_the_bill(store, ledger),
        *_every_charge_is_known(tried, ledger),
        *_no_false_success(store, ledger, journal),
        *_no_way_back(store),
        *_same_key_same_payment(store, journal),
        *_nothing_in_doubt(store),
        *_next_only_after_proof(store, ledger, contract_kept=contract_kept),
        *_failed_over_with_proof(store),
        *_a_code_is_spent_once(codes_seen),
        *_refunds_agree(store, ledger),
        *_no_surprising_case(store, contract_kept=contract_kept),
    ]


def _one_charge_an_order(
    store: MemoryStore, ledger: Mapping[str, Trade], *, contract_kept: bool
) -> Iterator[str]:
    for tender, payments in _tenders(store).items():
        trades = [
            ledger[a.out_trade_no] for p in payments for a in p.attempts if a.out_trade_no in ledger
        ]
        held = [trade for trade in trades if trade.held]
        if len(held) > 1:
            yield (
                f"INV1 {tender} is charged {len(held)} times on balance: "
                f"{[trade.number for trade in held]}"
            )
        if not contract_kept:
            continue
        spans = sorted((t.charged_at, t.returned_at) for t in trades if t.charged_at is not None)
        for (_, given_back), (again, _) in pairwise(spans):
            if given_back is None or again < given_back:
                yield f"INV1 {tender} was charged twice at the same moment ({again:.3f})"
    for number, trade in ledger.items():
        if trade.captures > 1:
            yield f"INV1 {number} captured {trade.captures} times"


def _never_more_than_the_bill(store: MemoryStore, ledger: Mapping[str, Trade]) -> Iterator[str]:
    """Of an order whose amount a till said, no more is kept than that,
    whoever paid and whatever was overridden.
    """
    for order, amount in store.orders.items():
        payments = [
            p
            for p in store.payment_rows.values()
            if (p.merchant_id, p.store_id, p.order_no) == order
        ]
        held = sum(
            ledger[a.out_trade_no].held
            for p in payments
            for a in p.attempts
            if a.out_trade_no in ledger
        )
        if amount is not None and held > amount:
            yield f"BILL {order[-1]} is {amount} and {held} are kept of it"
    for _, payment_id, override in store.overrides:
        named = store.payment_rows[MERCHANT, override.change.payment.id]
        if (
            named.status == "succeeded"
            or named.order_no != store.payment_rows[MERCHANT, payment_id].order_no
        ):
            yield f"BILL {named.id} was overridden by {payment_id} and is {named.status}"


def _every_charge_is_known(
    tried: Mapping[str, tuple[Payment, Attempt]], ledger: Mapping[str, Trade]
) -> Iterator[str]:
    for number, trade in ledger.items():
        if number not in tried:
            yield f"INV2 {number} is nobody's"
            continue
        payment, attempt = tried[number]
        if trade.amount != payment.amount:
            yield f"INV2 {number}: {trade.amount} over there, {payment.amount} here"
        if trade.held and attempt.status != "succeeded":
            yield (
                f"INV2 {number} holds {trade.held} of the customer's "
                f"and is {attempt.status} here ({payment.status})"
            )


def _no_false_success(
    store: MemoryStore, ledger: Mapping[str, Trade], journal: Journal
) -> Iterator[str]:
    for payment in store.payment_rows.values():
        for attempt in payment.attempts:
            trade = ledger.get(attempt.out_trade_no)
            if attempt.status in ("succeeded", "captured_late", "returned") and (
                trade is None or trade.state != "charged"
            ):
                yield (
                    f"INV3 {attempt.out_trade_no} is {attempt.status} here "
                    f"and {trade.state if trade else 'unknown'} over there"
                )
        if (payment.status == "succeeded") != any(
            a.status == "succeeded" for a in payment.attempts
        ):
            yield (
                f"INV3 {payment.id} is {payment.status}, "
                f"its attempts are {[a.status for a in payment.attempts]}"
            )
    for payment_id, told in journal.finals:
        found = next(p for (_, known), p in store.payment_rows.items() if known == payment_id)
        may_be = {told, "paid_late"} if told in PAYMENT_UNCHARGED else {told}
        if found.status not in may_be:
            yield f"INV3 a till was told {told} of {payment_id}, which is {found.status}"


def _no_way_back(store: MemoryStore) -> Iterator[str]:
    """Every object's log is a path of its table, one version at a time."""
    reach = {
        state: frozenset(to for old, to, _ in payment_moves() if old == state)
        for state in PAYMENT_STATES
    }
    overridden_only = {(old, to) for old, to, overridden in payment_moves() if overridden}
    overridden = {
        payment.id for payment in store.payment_rows.values() if payment.overridden_at is not None
    }
    logs: dict[str, list[dict[str, object]]] = defaultdict(list)
    for kept in store.log:
        logs[kept.event.object_id].append(json.loads(kept.event.data))
    for object_id, documents in logs.items():
        is_refund = documents[0]["object"] == "refund"
        moves: Mapping[Any, frozenset[Any]] = REFUND if is_refund else reach
        if [document["version"] for document in documents] != list(range(1, len(documents) + 1)):
            yield (
                f"INV4 {object_id} has the versions "
                f"{[document['version'] for document in documents]}"
            )
        for before, after in pairwise(documents):
            move = (before["status"], after["status"])
            if not _may_become(moves, *move) or (
                not is_refund and move in overridden_only and object_id not in overridden
            ):
                yield f"INV4 {object_id} went from {before['status']} to {after['status']}"
            if not is_refund:
                yield from _attempts_moved(before, after)
        newest = store.refund_rows if is_refund else store.payment_rows
        row = next(each for (_, known), each in newest.items() if known == object_id)
        if (row.version, row.status) != (documents[-1]["version"], documents[-1]["status"]):
            yield f"INV4 {object_id} is not what its log says"


def _attempts_moved(before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    olds, news = before["attempts"], after["attempts"]
    assert isinstance(olds, list)
    assert isinstance(news, list)
    for old, new in zip(olds, news, strict=False):
        if not _may_become(ATTEMPT, old["status"], new["status"]):
            yield f"INV4 {old['id']} went from {old['status']} to {new['status']}"


def _may_become(moves: Mapping[Any, frozenset[Any]], old: object, new: object) -> bool:
    return old == new or new in moves.get(old, frozenset())


def _same_key_same_payment(store: MemoryStore, journal: Journal) -> Iterator[str]:
    for key, payments in (journal.keys | journal.refunds).items():
        if len(payments) != 1:
            yield f"INV7 the key {key} was answered with {sorted(payments)}"
    yield from (f"INV7 the key {key} took another body" for key in journal.other_bodies_taken)
    if len(store.claims) != len(store.payment_rows):
        yield f"INV7 {len(store.claims)} keys, {len(store.payment_rows)} payments"


def _nothing_in_doubt(store: MemoryStore) -> Iterator[str]:
    for payment in store.payment_rows.values():
        live = [attempt.status for attempt in payment.attempts if attempt.status in ATTEMPT_LIVE]
        if payment.status not in PAYMENT_FINAL or live:
            yield f"INV8 {payment.id} is still {payment.status} {live}"
    for refund in store.refund_rows.values():
        if refund.status in ("requested", "processing", "in_doubt"):
            yield f"INV8 {refund.id} is still {refund.status}"


def _next_only_after_proof(
    store: MemoryStore, ledger: Mapping[str, Trade], *, contract_kept: bool
) -> Iterator[str]:
    """In commit order: what a clock said when a payment was drawn up is no evidence of what was
    known by then.
    """
    began, ended = _places(store)
    for tender, payments in _tenders(store).items():
        for earlier, later in pairwise(payments):
            last = earlier.attempts[-1]
            if (
                not any(item.proof in PROOFS for item in last.evidence)
                or ended.get(earlier.id, len(store.log)) > began[later.id]
            ):
                yield (
                    f"INV9 {tender}: {later.id} began without a proof "
                    f"that {earlier.id} had not charged"
                )
            trade = ledger.get(last.out_trade_no)
            if contract_kept and trade is not None and trade.state == "charged":
                yield f"INV9 {tender}: {later.id} began, and {earlier.id} charged all the same"


def _failed_over_with_proof(store: MemoryStore) -> Iterator[str]:
    """Within a payment: the log shows attempt n proven uncharged in the very version that first
    carries attempt n + 1.
    """
    for kept in store.log:
        document = json.loads(kept.event.data)
        for earlier, later in pairwise(document.get("attempts", ())):
            if earlier["status"] not in (
                "declined",
                "not_sent",
                "reversed",
                "captured_late",
                "returned",
            ):
                yield (
                    f"INV9 {later['id']} stands beside {earlier['id']}, "
                    f"which is {earlier['status']}"
                )
    for payment in store.payment_rows.values():
        for attempt in payment.attempts[:-1]:
            if not any(item.proof in PROOFS for item in attempt.evidence):
                yield (
                    f"INV9 {payment.id} went on after {attempt.id}, "
                    f"and nothing proves that it had not charged"
                )
        if len({attempt.channel_account for attempt in payment.attempts}) < len(payment.attempts):
            yield f"INV9 {payment.id} tried an account twice"


def _a_code_is_spent_once(codes_seen: Iterable[tuple[str, str]]) -> Iterator[str]:
    numbers: dict[str, set[str]] = defaultdict(set)
    for code, number in codes_seen:
        numbers[code].add(number)
    yield from (
        f"CODE {code} reached the wallet as {sorted(each)}"
        for code, each in numbers.items()
        if len(each) > 1
    )


def _places(store: MemoryStore) -> tuple[dict[str, int], dict[str, int]]:
    """Where in the log each payment begins, and where it is first said to be uncharged."""
    began: dict[str, int] = {}
    ended: dict[str, int] = {}
    for place, kept in enumerate(store.log):
        began.setdefault(kept.event.object_id, place)
        if kept.event.type.removeprefix("payment.") in PAYMENT_UNCHARGED:
            ended.setdefault(kept.event.object_id, place)
    return began, ended


def _refunds_agree(store: MemoryStore, ledger: Mapping[str, Trade]) -> Iterator[str]:
    given = {
        number: amount
        for trade in ledger.values()
        for number, (amount, done) in trade.refunds.items()
        if done
    }
    booked = {
        refund.out_refund_no: refund.amount
        for refund in store.refund_rows.values()
        if refund.status == "succeeded"
    }
    if given != booked:
        yield f"INV10 refunds over there {sorted(given.items())}, here {sorted(booked.items())}"
    for payment in store.payment_rows.values():
        for attempt in payment.attempts:
            trade = ledger.get(attempt.out_trade_no)
            if trade is not None and trade.refunded != attempt.returned_amount:
                yield (
                    f"INV10 {attempt.out_trade_no} gave {trade.refunded} back over there "
                    f"and {attempt.returned_amount} here"
                )


def _no_surprising_case(store: MemoryStore, *, contract_kept: bool) -> Iterator[str]:
    overridden = {
        payment.id for payment in store.payment_rows.values() if payment.overridden_at is not None
    }
    for kept in store.cases:
        if kept.case.name == "captured_late" and kept.object_id in overridden:
            continue
        late = kept.case.name in ("captured_late", "captured_surplus", "closed_after_success")
        if kept.case.name not in EXPECTED_CASES or (late and contract_kept):
            yield f"CASE {kept.case.name} of {kept.object_id}"


def _tenders(store: MemoryStore) -> dict[tuple[str, int], list[Payment]]:
    found: dict[tuple[str, int], list[Payment]] = defaultdict(list)
    for payment in sorted(
        store.payment_rows.values(), key=lambda each: each.attempts[0].trade_number
    ):
        found[payment.order_no, payment.tender_no].append(payment)
    return found

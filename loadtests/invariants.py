"""What breaks an invariant of the gateway's books and the channel's ledger, one function each.

`audit` has the table of the invariants.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from adapters.discovery import discover
from gateway.domain.states import (
    ATTEMPT_LIVE,
    ATTEMPT_UNCHARGED,
    PAYMENT_FINAL,
    PAYMENT_HOLDING,
    REFUND_OPEN,
)
from loadtests.books import Books, Row

CAPTURED = frozenset({"succeeded", "captured_late", "returned"})


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that must not be: which invariant, about what, and how."""

    invariant: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.text}"


class BothBooks:
    """BothBooks books, indexed."""

    def __init__(self, books: Books, ledger: list[Row], honest: bool) -> None:
        self.books, self.ledger, self.honest = books, ledger, honest
        self.local = {name for name, manifest in discover().items() if manifest.settles == "local"}
        self.payment = {payment["id"]: payment for payment in books.payments}
        self.attempt = {attempt["out_trade_no"]: attempt for attempt in books.attempts}
        self.trade = {trade["out_trade_no"]: trade for trade in ledger}
        self.frozen = {payment["id"] for payment in books.payments if payment["frozen"]}
        self.attempts_of: dict[str, list[Row]] = defaultdict(list)
        for attempt in books.attempts:
            self.attempts_of[attempt["payment_id"]].append(attempt)
        self.tenders: dict[tuple[str, str, str, int], list[Row]] = defaultdict(list)
        for attempt in sorted(books.attempts, key=lambda row: row["trade_number"]):
            payment = self.payment[attempt["payment_id"]]
            self.tenders[_tender_of(payment)].append(attempt)

    def is_remote(self, attempt: Row) -> bool:
        """Its channel keeps a ledger of its own."""
        return attempt["channel"] not in self.local


def _tender_of(row: Row) -> tuple[str, str, str, int]:
    """Of a payment or a claim."""
    return row["merchant_id"], row["store_id"], row["order_no"], row["tender_no"]


def _captured(trade: Row | None) -> int:
    """Fen that came to the merchant through a payment nothing reversed."""
    return trade["amount"] if trade is not None and trade["state"] in {"charged", "refunded"} else 0


def _net(trade: Row | None) -> int:
    return _captured(trade) - trade["refunded"] if trade is not None else 0


def charged_twice(both: BothBooks) -> Iterator[Violation]:
    """INV1."""
    for (_, store_id, order_no, tender_no), attempts in both.tenders.items():
        subject = f"store {store_id} order {order_no} tender {tender_no}"
        trades = [
            both.trade[a["out_trade_no"]] for a in attempts if a["out_trade_no"] in both.trade
        ]
        kept = [trade for trade in trades if _net(trade)]
        if len(kept) > 1:
            yield Violation(
                "INV1",
                subject,
                f"charged {len(kept)} times: {', '.join(t['out_trade_no'] for t in kept)}",
            )
        for trade in kept:
            asked = both.payment[both.attempt[trade["out_trade_no"]]["payment_id"]]["amount"]
            if trade["amount"] != asked:
                yield Violation(
                    "INV1", subject, f"charged {trade['amount']} fen, asked for {asked}"
                )
        charges = [
            act["number"] for trade in trades for act in trade["history"] if act["act"] == "charged"
        ]
        if both.honest and len(charges) != len(set(charges)):
            yield Violation("INV1", subject, "the same trade was charged twice")


def trades_not_booked(both: BothBooks) -> Iterator[Violation]:
    """INV2."""
    for trade in both.ledger:
        number = trade["out_trade_no"]
        attempt = both.attempt.get(number)
        if attempt is None or attempt["channel_account"] != trade["account"]:
            yield Violation(
                "INV2", number, "the channel knows a trade that no attempt of this account sent"
            )
            continue
        if attempt["payment_id"] in both.frozen:
            continue
        theirs, ours = _captured(trade), attempt["captured_amount"]
        if theirs and attempt["status"] not in CAPTURED:
            yield Violation(
                "INV2",
                number,
                f"the channel took {theirs} fen, our attempt says {attempt['status']}",
            )
        elif theirs != ours:
            yield Violation("INV2", number, f"the channel took {theirs} fen, our books say {ours}")
        elif theirs and trade["refunded"] != attempt["returned_amount"]:
            yield Violation(
                "INV2",
                number,
                f"the channel gave back {trade['refunded']} fen, "
                f"our books say {attempt['returned_amount']}",
            )


def paid_without_money(both: BothBooks) -> Iterator[Violation]:
    """INV3."""
    posted = {line["posting_id"] for line in both.books.journal}
    for payment in both.books.payments:
        paid = [
            attempt for attempt in both.attempts_of[payment["id"]] if attempt["status"] in CAPTURED
        ]
        if (
            payment["status"] == "succeeded"
            and [attempt["status"] for attempt in paid].count("succeeded") != 1
        ):
            yield Violation(
                "INV3", payment["id"], "succeeded without exactly one attempt that succeeded"
            )
        if payment["status"] == "paid_late" and not paid:
            yield Violation("INV3", payment["id"], "paid_late without money")
        for attempt in paid:
            if attempt["captured_amount"] != payment["amount"]:
                yield Violation(
                    "INV3",
                    payment["id"],
                    f"captured {attempt['captured_amount']} fen, asked for {payment['amount']}",
                )
            if not both.is_remote(attempt):
                if payment["id"] not in posted:
                    yield Violation("INV3", payment["id"], "a local tender without a posting")
            elif (
                not _captured(both.trade.get(attempt["out_trade_no"]))
                and payment["id"] not in both.frozen
            ):
                yield Violation(
                    "INV3",
                    payment["id"],
                    f"our attempt says {attempt['status']}, the channel took nothing",
                )


def unbalanced_postings(both: BothBooks) -> Iterator[Violation]:
    """INV5."""
    sums: Counter[str] = Counter()
    debits: Counter[str] = Counter()
    for line in both.books.journal:
        sums[line["posting_id"]] += line["amount"]
        debits[line["posting_id"]] += max(line["amount"], 0)
    due = {
        p["id"]: p["amount"]
        for p in both.books.payments
        if p["channel"] in both.local and p["status"] == "succeeded"
    }
    due |= {
        r["id"]: r["amount"]
        for r in both.books.refunds
        if r["status"] == "succeeded" and r["payment_id"] in due
    }
    for posting in sums.keys() | due.keys():
        if sums[posting]:
            yield Violation("INV5", posting, f"its lines sum to {sums[posting]} fen, not to zero")
        if debits[posting] != due.get(posting, 0):
            yield Violation(
                "INV5", posting, f"{debits[posting]} fen are posted, {due.get(posting, 0)} are due"
            )


def loose_claims(both: BothBooks, answered: Mapping[str, str]) -> Iterator[Violation]:
    """INV7."""
    claimed = Counter(claim["payment_id"] for claim in both.books.claims)
    for payment_id in claimed.keys() | both.payment.keys():
        if claimed[payment_id] != 1 or payment_id not in both.payment:
            yield Violation(
                "INV7",
                payment_id,
                f"{claimed[payment_id]} keys are bound to it; payment: "
                f"{payment_id in both.payment}",
            )
    holders = Counter(_tender_of(claim) for claim in both.books.claims if claim["holds"])
    for (_, store_id, order_no, tender_no), count in holders.items():
        if count > 1:
            subject = f"store {store_id} order {order_no} tender {tender_no}"
            yield Violation("INV7", subject, f"{count} payments hold it")
    for claim in both.books.claims:
        payment = both.payment.get(claim["payment_id"])
        if payment is not None and claim["holds"] != (payment["status"] in PAYMENT_HOLDING):
            yield Violation(
                "INV7", payment["id"], f"{payment['status']}, and its claim holds: {claim['holds']}"
            )
    bound: dict[str, set[str]] = defaultdict(set)  # each store may bind the same key
    for claim in both.books.claims:
        bound[claim["idempotency_key"]].add(claim["payment_id"])
    for key, payment_id in answered.items():
        if payment_id not in bound[key]:
            yield Violation(
                "INV7", key, f"a till was answered {payment_id}, the books say {sorted(bound[key])}"
            )


def undecided(both: BothBooks) -> Iterator[Violation]:
    """INV8."""
    for payment in both.books.payments:
        if payment["id"] in both.frozen:
            continue
        if payment["status"] not in PAYMENT_FINAL:
            yield Violation("INV8", payment["id"], f"still {payment['status']}")
        for attempt in both.attempts_of[payment["id"]]:
            if attempt["status"] in ATTEMPT_LIVE:
                yield Violation("INV8", attempt["out_trade_no"], f"still {attempt['status']}")
    for refund in both.books.refunds:
        if refund["status"] in REFUND_OPEN - {"needs_action"}:
            yield Violation("INV8", refund["id"], f"still {refund['status']}")
    for callback in both.books.callbacks:
        if not callback["applied"]:
            yield Violation(
                "INV8", callback["out_trade_no"], "a callback was acknowledged and never applied"
            )


def sent_without_proof(both: BothBooks) -> Iterator[Violation]:
    """INV9."""
    for (_, _, order_no, tender_no), attempts in both.tenders.items():
        remote = [attempt for attempt in attempts if both.is_remote(attempt)]
        for before, after in pairwise(remote):
            subject = f"order {order_no} tender {tender_no} attempt {after['trade_number']}"
            proofs = [
                item
                for item in before["evidence"]
                if item.get("proof") and _instant(item["at"]) <= after["sent_at"]
            ]
            if not proofs or before["status"] in ATTEMPT_LIVE:
                yield Violation(
                    "INV9",
                    subject,
                    f"sent while {before['out_trade_no']} had no proof of taking nothing",
                )
            if both.honest and _held_money_at(
                both.trade.get(before["out_trade_no"]), after["sent_at"]
            ):
                yield Violation(
                    "INV9",
                    subject,
                    f"sent while the channel held the money of {before['out_trade_no']}",
                )


def _held_money_at(trade: Row | None, moment: datetime) -> bool:
    """Charged and not given back whole by then, in the channel's own book."""
    acts = (
        [act for act in trade["history"] if _instant(act["at"]) <= moment]
        if trade is not None
        else []
    )
    taken: int = sum(act["amount"] for act in acts if act["act"] == "charged")
    given: int = sum(act["amount"] for act in acts if act["act"] in {"reversed", "refunded"})
    return taken > given


def wrong_refunds(both: BothBooks) -> Iterator[Violation]:
    """INV10."""
    given: dict[str, list[int]] = defaultdict(list)
    for trade in both.ledger:
        for act in trade["history"]:
            if act["act"] == "refunded":
                given[act["number"]].append(act["amount"])
    ours = {refund["out_refund_no"]: refund for refund in both.books.refunds}
    for number in given.keys() - ours.keys():
        yield Violation("INV10", number, "the channel made a refund that we never asked for")
    remote = {
        a["id"]
        for a in both.books.attempts
        if both.is_remote(a) and a["payment_id"] not in both.frozen
    }
    for number, refund in ours.items():
        theirs = given.get(number, [])
        if len(theirs) > 1:
            yield Violation("INV10", refund["id"], f"the channel made it {len(theirs)} times")
        due = [refund["amount"]] if refund["status"] == "succeeded" else []
        if (
            refund["attempt_id"] in remote
            and refund["status"] not in {"requested", "processing", "in_doubt"}
            and theirs[:1] != due
        ):
            yield Violation(
                "INV10",
                refund["id"],
                f"{refund['status']} {refund['amount']} fen here, {theirs} fen at the channel",
            )
    yield from _sums_of_refunds(both.books)


def _sums_of_refunds(books: Books) -> Iterator[Violation]:
    returned: Counter[str] = Counter()
    reserved: Counter[str] = Counter()
    for refund in books.refunds:
        if refund["status"] == "succeeded":
            returned[refund["attempt_id"]] += refund["amount"]
        elif refund["status"] in REFUND_OPEN:
            reserved[refund["attempt_id"]] += refund["amount"]
    for attempt in books.attempts:
        kept = (attempt["reserved_amount"], attempt["returned_amount"])
        counted = (reserved[attempt["id"]], returned[attempt["id"]])
        if kept != counted:
            yield Violation(
                "INV10",
                attempt["out_trade_no"],
                f"reserved and returned say {kept}, its refunds sum to {counted}",
            )
        if sum(counted) > attempt["captured_amount"]:
            yield Violation(
                "INV10",
                attempt["out_trade_no"],
                f"refunds of {sum(counted)} fen, captured {attempt['captured_amount']}",
            )
        if attempt["status"] in ATTEMPT_UNCHARGED and attempt["captured_amount"]:
            yield Violation(
                "INV10",
                attempt["out_trade_no"],
                f"{attempt['status']} with {attempt['captured_amount']} fen captured",
            )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)

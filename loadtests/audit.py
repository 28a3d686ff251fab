"""The money audit: the gateway's books against the channel's own ledger, row by row, to the fen.

`python -m loadtests.audit --database URL --sandbox URL` prints every violation and ends with 1 when
there is any.

| invariant | what is checked |
|---|---|
| INV1 | at most one net captured charge an order tender, with the amount that was asked for |
| INV2 | every trade at the channel is an attempt of ours; what moved there stands in our books |
| INV3 | every payment that says "paid" has the money: at the channel, or in the journal |
| INV4 | every object's event log walks the tables of `states`, and ends where the row stands |
| INV5 | every posting sums to zero, and cash stands in the journal exactly once |
| INV7 | one payment a key; one holder a tender; what a till was answered is still there |
| INV8 | at rest nothing is undecided, except what is frozen for a person |
| INV9 | a further attempt exists only after stored proof that the one before took nothing |
| INV10 | refunds never exceed the capture, each happened once, and the channel knows no other |

INV4: the tables of `gateway.domain.states`, with version + 1 at each step. INV9: the channel agrees
that it took nothing.

It reads the tables, never the gateway's own counters. A frozen payment waits for a person: its
money is not judged.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
from loadtests.books import Books, Row, of_accounts, read_books, read_ledger
from loadtests.event_walk import strayed

CAPTURED = frozenset({"succeeded", "captured_late", "returned"})


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that must not be: which invariant, about what, and how."""

    invariant: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.text}"


async def audit(
    dsn: str,
    sandbox_url: str,
    *,
    answered: Mapping[str, str] | None = None,
    at_rest: bool = True,
    honest: bool = True,
) -> list[Violation]:
    """Read both books (the ledger first, since write 1 comes before every trade)
    and `compare` them.
    """
    ledger = await read_ledger(sandbox_url)
    return compare(await read_books(dsn), ledger, answered=answered, at_rest=at_rest, honest=honest)


def compare(
    books: Books,
    ledger: Iterable[Row],
    *,
    answered: Mapping[str, str] | None = None,
    at_rest: bool = True,
    honest: bool = True,
) -> list[Violation]:
    """Everything that is wrong, sorted; an empty list when the books agree.

    `ledger`: rows of `GET /_control/ledger`, of any accounts. `answered`: Idempotency-Key ->
    payment id of every 2xx a till got. `at_rest`: everything has been given the time to settle;
    without it INV8 is not asked, but nothing may move while the books are read. `honest`: no
    channel lied, so money never comes after a proven no.
    """
    both = _Both(books, of_accounts(ledger, books), honest)
    found = [
        *_inv1(both),
        *_inv2(both),
        *_inv3(both),
        *_inv5(both),
        *_inv7(both, answered or {}),
        *_inv9(both),
        *_inv10(both),
    ]
    found += [Violation("INV4", subject, text) for subject, text in strayed(books)]
    if at_rest:
        found += _inv8(both)
    return sorted(found)


class _Both:
    """Both books, indexed."""

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
        self.tenders: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
        for attempt in sorted(books.attempts, key=lambda row: row["trade_number"]):
            payment = self.payment[attempt["payment_id"]]
            self.tenders[payment["merchant_id"], payment["order_no"], payment["tender_no"]].append(
                attempt
            )

    def is_remote(self, attempt: Row) -> bool:
        return attempt["channel"] not in self.local


def _captured(trade: Row | None) -> int:
    """Fen that came to the merchant through a payment nothing reversed."""
    return trade["amount"] if trade is not None and trade["state"] in {"charged", "refunded"} else 0


def _net(trade: Row | None) -> int:
    return _captured(trade) - trade["refunded"] if trade is not None else 0


def _inv1(both: _Both) -> Iterator[Violation]:
    for (_, order_no, tender_no), attempts in both.tenders.items():
        subject = f"order {order_no} tender {tender_no}"
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


def _inv2(both: _Both) -> Iterator[Violation]:
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


def _inv3(both: _Both) -> Iterator[Violation]:
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


def _inv5(both: _Both) -> Iterator[Violation]:
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


def _inv7(both: _Both, answered: Mapping[str, str]) -> Iterator[Violation]:
    claimed = Counter(claim["payment_id"] for claim in both.books.claims)
    for payment_id in claimed.keys() | both.payment.keys():
        if claimed[payment_id] != 1 or payment_id not in both.payment:
            yield Violation(
                "INV7",
                payment_id,
                f"{claimed[payment_id]} keys are bound to it; payment: "
                f"{payment_id in both.payment}",
            )
    holders = Counter(
        (c["merchant_id"], c["order_no"], c["tender_no"]) for c in both.books.claims if c["holds"]
    )
    for (_, order_no, tender_no), count in holders.items():
        if count > 1:
            yield Violation(
                "INV7", f"order {order_no} tender {tender_no}", f"{count} payments hold it"
            )
    for claim in both.books.claims:
        payment = both.payment.get(claim["payment_id"])
        if payment is not None and claim["holds"] != (payment["status"] in PAYMENT_HOLDING):
            yield Violation(
                "INV7", payment["id"], f"{payment['status']}, and its claim holds: {claim['holds']}"
            )
    bound = {claim["idempotency_key"]: claim["payment_id"] for claim in both.books.claims}
    for key, payment_id in answered.items():
        if bound.get(key) != payment_id:
            yield Violation(
                "INV7", key, f"a till was answered {payment_id}, the books say {bound.get(key)}"
            )


def _inv8(both: _Both) -> Iterator[Violation]:
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


def _inv9(both: _Both) -> Iterator[Violation]:
    for (_, order_no, tender_no), attempts in both.tenders.items():
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


def _inv10(both: _Both) -> Iterator[Violation]:
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


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.audit",
        description="Compare the gateway's books with the sandbox's ledger.",
    )
    parser.add_argument("--database", required=True, metavar="URL", help="the gateway's database")
    parser.add_argument(
        "--sandbox", required=True, metavar="URL", help="control address of the sandbox"
    )
    parser.add_argument(
        "--liars",
        action="store_true",
        help="channels were told to lie: money may have come after a proven no",
    )
    options = parser.parse_args()
    violations = asyncio.run(audit(options.database, options.sandbox, honest=not options.liars))
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())

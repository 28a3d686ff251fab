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
from collections.abc import Iterable, Mapping

from loadtests import invariants
from loadtests.books import Books, Row, of_accounts, read_books, read_ledger
from loadtests.event_walk import strayed
from loadtests.invariants import Violation


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
    both = invariants.BothBooks(books, of_accounts(ledger, books), honest)
    found = [
        *invariants.charged_twice(both),
        *invariants.trades_not_booked(both),
        *invariants.paid_without_money(both),
        *invariants.unbalanced_postings(both),
        *invariants.loose_claims(both, answered or {}),
        *invariants.sent_without_proof(both),
        *invariants.wrong_refunds(both),
    ]
    found += [Violation("INV4", subject, text) for subject, text in strayed(books)]
    if at_rest:
        found += invariants.undecided(both)
    return sorted(found)


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

"""The end of the tour: the gateway's books against the channels' own ledgers, trade by trade, equal
to the fen.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from gateway.cli.dev.tour.stage import SETTLE_S, Document, Played, Stage, StepFailed, accepted
from gateway.domain.money import yuan

PAGE = 100


class Sums(NamedTuple):
    """Fen taken and given back."""

    captured: int
    returned: int


async def books_agree(stage: Stage) -> Played:
    """Every trade there ever was on this data folder; what is still under way is given a moment."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        ours, theirs = await _our_books(stage), await _their_books(stage)
        differences = sorted(
            number
            for number in ours.keys() | theirs.keys()
            if ours.get(number, _NOTHING) != theirs.get(number, _NOTHING)
        )
        if not differences:
            captured, returned = (
                sum(sums.captured for sums in ours.values()),
                sum(sums.returned for sums in ours.values()),
            )
            trades = f"{len(ours.keys() | theirs.keys())} trades"
            return Played(
                "books agree",
                f"{trades}: {yuan(captured)} captured, {yuan(returned)} returned, difference 0.00",
            )
        if time.monotonic() > deadline:
            number = differences[0]
            raise StepFailed(
                f"{len(differences)} trades differ; {number}: "
                f"gateway {ours.get(number, _NOTHING)}, channel {theirs.get(number, _NOTHING)}"
            )
        await asyncio.sleep(0.5)


_NOTHING = Sums(0, 0)


async def _our_books(stage: Stage) -> dict[str, Sums]:
    """By out_trade_no, attempts at the sandbox's accounts only: cash has no ledger but ours."""
    remote = {account for accounts in stage.accounts.values() for account in accounts}
    attempts = [
        attempt
        for payment in await _payments(stage)
        for attempt in payment["attempts"]
        if attempt["channel_account"] in remote
    ]
    return {
        each["out_trade_no"]: Sums(each["captured_amount"], each["returned_amount"])
        for each in attempts
    }


async def _payments(stage: Stage) -> list[Document]:
    rows: list[Document] = []
    while True:
        after = rows[-1]["id"] if rows else None
        page = accepted(await stage.server.payments(limit=PAGE, starting_after=after))
        rows += page["data"]
        if not page["has_more"]:
            return rows


async def _their_books(stage: Stage) -> dict[str, Sums]:
    return {
        trade["out_trade_no"]: _sums(trade)
        for channel in stage.accounts
        for trade in await stage.ledger(channel)
    }


def _sums(trade: Document) -> Sums:
    """A reversed charge was never the merchant's money;
    a refunded one was, and went back in part or whole.
    """
    if trade["state"] not in {"charged", "refunded"}:
        return _NOTHING
    return Sums(trade["amount"], trade["refunded"])

"""After a restore: which accounts are asked about a tender, and what their answers allow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.channel import Flow, TradeRef
from adapters.discovery import discover
from gateway.domain import outcomes as o
from gateway.domain.errors import RestoredUnsure
from gateway.domain.identifiers import Numbers
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.accounts import Account
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.learn.lost_attempts import LostAttempts, Word
from gateway.flow.ports import Ports
from gateway.limits import ATTEMPTS_MAX
from tests.fakes.accounts import local_account, remote_account
from tests.fakes.store import MemoryStore
from tests.shelf import Shelf
from tests.simulation.clock import SimIds
from tests.unit.paying import NOW

NUMBERS = Numbers("TT")
TENDER = Tender(
    merchant_id="m1",
    store_id="s1",
    order_no="A1",
    tender_no=1,
    amount=1000,
    currency="CNY",
    channel="alipay",
    flow=Flow.QR,
    numbering=Numbering.BY_STORE,
)
YES = o.Succeeded(amount=1000, channel_trade_no="C1")
SPENT = o.Closed(was_charged=False)


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Ledger:
    """Knows some of the tender's attempts by their count, and keeps what it was asked."""

    hosts = 1

    def __init__(self, known: dict[int, o.QueryOutcome] | None = None) -> None:
        self._known = {NUMBERS.trade(TENDER, n): said for n, said in (known or {}).items()}
        self.asked: list[TradeRef] = []

    async def query(self, trade: TradeRef) -> o.QueryOutcome:
        self.asked.append(trade)
        return self._known.get(trade.out_trade_no, o.NotFound())


def search_over(*accounts: Account) -> LostAttempts:
    clock = StoppedClock()
    ports = Ports(
        store=MemoryStore(),
        directory=Shelf("m1", ("s1",), accounts, discover()),
        clock=clock,
        ids=SimIds(),
        numbers=NUMBERS,
    )
    return LostAttempts(ports=ports, calls=ChannelCalls(clock, ChannelHealth(clock)))


@pytest.mark.parametrize(
    ("fields", "is_asked"),
    [
        ({}, True),
        ({"drained": "settlement is late"}, True),  # that keeps new payments away, not old ones
        ({"store_id": "s1"}, True),
        ({"store_id": "s2"}, False),
        ({"enabled": False}, False),
    ],
)
async def test_which_accounts_are_asked(fields: dict[str, Any], is_asked: bool) -> None:
    ledger = Ledger({1: YES})
    lost = search_over(
        local_account("drawer"),
        remote_account("silent", channel=Ledger()),
        remote_account("a", channel=ledger, **fields),
    )
    found = await lost.search(TENDER, sent_at=NOW, first_n=1)
    if is_asked:
        assert isinstance(found, Word)
        assert (found.n, found.account.id, found.outcome) == (1, "a", YES)
    else:
        assert (found, ledger.asked) == (1, [])


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ({}, 1),
        ({1: SPENT}, 2),
        ({2: SPENT}, 3),  # the first was never sent: a gap
        ({ATTEMPTS_MAX: SPENT}, ATTEMPTS_MAX + 1),
        ({1: SPENT, 2: YES}, 2),
        ({1: o.Pending()}, 1),
        ({1: o.Mismatch(field="amount", expected="1", got="2")}, 1),
    ],
)
async def test_the_first_number_that_no_account_knows_or_the_one_with_money(
    known: dict[int, o.QueryOutcome], found: int
) -> None:
    answer = await search_over(remote_account("a", channel=Ledger(known))).search(
        TENDER, sent_at=NOW, first_n=1
    )
    assert (answer.n if isinstance(answer, Word) else answer) == found
    assert isinstance(answer, Word) == any(said is not SPENT for said in known.values())


async def test_an_account_that_cannot_be_asked_rules_nothing_out() -> None:
    lost = search_over(
        remote_account("a", channel=Ledger()),
        remote_account("b", channel=Ledger({1: o.Unknown(reason="timeout")})),
    )
    with pytest.raises(RestoredUnsure):
        await lost.search(TENDER, sent_at=NOW, first_n=1)


async def test_every_account_is_asked_in_the_words_of_its_own_channel() -> None:
    alipay, wechat = Ledger(), Ledger()
    await search_over(
        remote_account("a", channel=alipay), remote_account("w", "wechat", channel=wechat)
    ).search(TENDER, sent_at=NOW, first_n=1)
    assert {trade.flow for trade in alipay.asked} == {Flow.QR}  # as this tender is made
    assert {trade.flow for trade in wechat.asked} == {Flow.CODE}
    for ledger in (alipay, wechat):
        assert {trade.out_trade_no for trade in ledger.asked} == {
            NUMBERS.trade(replace(TENDER, numbering=numbering), n)
            for n in range(1, ATTEMPTS_MAX + 1)
            for numbering in Numbering
        }

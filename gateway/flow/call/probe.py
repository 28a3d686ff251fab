"""The harmless question: the query of a number that is never used.

It is signed like every call, so the channel's "there is no such order" proves that the address, the
keys and both signatures work, and no customer's payment is put at risk.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from adapters.channel import RemoteManifest, TradeRef
from gateway.clock import Clock
from gateway.domain.identifiers import Numbers
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.limits import PROBE_TIMEOUT_MS

UNUSED_ORDER: Final = "~probe"  # no order number of a merchant has this sign
SENT_AGO: Final = timedelta(minutes=1)  # the age of the number, for channels that ask for it


def unused_tender(merchant_id: str, manifest: RemoteManifest) -> Tender:
    """A tender that is never paid: its number is unknown to the channel, now and later."""
    return Tender(
        merchant_id=merchant_id,
        store_id="",
        order_no=UNUSED_ORDER,
        tender_no=0,
        amount=1,
        currency="CNY",
        channel=manifest.channel,
        flow=manifest.some_flow,
        numbering=Numbering.BY_STORE,
    )


def unused_trade(
    numbers: Numbers, merchant_id: str, manifest: RemoteManifest, clock: Clock
) -> TradeRef:
    """What to ask about without a service; its send deadline starts now."""
    tender = unused_tender(merchant_id, manifest)
    return TradeRef(
        out_trade_no=numbers.trade(tender, 0),
        amount=tender.amount,
        currency=tender.currency,
        flow=tender.flow,
        sent_at=clock.now() - SENT_AGO,
        channel_trade_no=None,
        deadline=clock.monotonic() + PROBE_TIMEOUT_MS / 1000,
    )

"""The harmless question: the query of a number that is never used.

It is signed like every call, so the channel's "there is no such order" proves that the address, the
keys and both signatures work, and no customer's payment is the guinea pig.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from adapters.channel import Flow, Manifest, TradeRef
from gateway.clock import Clock
from gateway.domain.identifiers import out_trade_no
from gateway.limits import PROBE_TIMEOUT_MS

UNUSED_ORDER: Final = "~probe"  # no order number of a merchant has this sign


def unused_trade(environment: str, merchant_id: str, manifest: Manifest, clock: Clock) -> TradeRef:
    """What to ask about; its send deadline starts now."""
    return TradeRef(
        out_trade_no=out_trade_no(environment, merchant_id, UNUSED_ORDER, 0, 0),
        amount=1,
        currency="CNY",
        flow=min(manifest.flows, default=Flow.CODE),
        sent_at=clock.now() - timedelta(minutes=1),
        channel_trade_no=None,
        deadline=clock.monotonic() + PROBE_TIMEOUT_MS / 1000,
    )

"""Many writers of one payment: a writer that loses reads again, waits, and at last hears 503."""

from __future__ import annotations

import pytest

from gateway.domain import outcomes as o
from gateway.domain.change import Change
from gateway.domain.errors import Overloaded
from gateway.domain.words import Source
from gateway.flow.ports import Applied, RefundTaken, Stale
from gateway.limits import STALE_QUICK_MAX, STALE_RETRIES_MAX
from tests.contract.drawn import MERCHANT, SILENT, YES, after, refund_change
from tests.fakes.store import MemoryStore
from tests.simulation.virtual_loop import VirtualLoop, on_virtual_time
from tests.unit.test_transition import Rig


class Crowded(MemoryStore):
    """Another writer is faster `losses` times."""

    losses = 0

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        if self.losses:
            self.losses -= 1
            return Stale()
        return await super().apply(change)


@pytest.mark.parametrize("losses", [1, STALE_RETRIES_MAX - 1, STALE_RETRIES_MAX])
async def test_a_writer_that_always_loses_hears_503_and_one_that_wins_once_is_done(losses):
    store = Crowded()
    rig = Rig(store)
    payment = await rig.opened()
    number, store.losses = payment.current.out_trade_no, losses
    if losses < STALE_RETRIES_MAX:
        now = await rig.transitions.learn(payment, number, SILENT, Source.QUERY)
        assert now.version == payment.version + 1
        return
    with pytest.raises(Overloaded) as refusal:
        await rig.transitions.step(payment, lambda now: after(now, SILENT))
    assert (refusal.value.http_status, refusal.value.retry_after_s) == (503, 1)
    assert await rig.store.payment(MERCHANT, payment.id) == payment


async def test_a_refund_that_always_loses_hears_503_too():
    store = Crowded()
    rig = Rig(store)
    payment = await rig.opened(lambda p: after(p, YES), lambda p: refund_change(p, "r1", 400))
    [refund] = await store.refunds_of(MERCHANT, payment.id)
    store.losses = STALE_RETRIES_MAX
    with pytest.raises(Overloaded):
        await rig.transitions.learn_refund(
            payment, refund.id, o.Unknown(reason="timeout"), Source.REFUND
        )
    assert await store.refund(MERCHANT, refund.id) == refund


def test_writers_that_lost_together_come_back_apart():
    async def crowd(loop: VirtualLoop) -> None:
        pauses = []
        for _ in range(2):
            store = Crowded()
            rig = Rig(store)
            payment = await rig.opened()
            store.losses, began = STALE_QUICK_MAX + 3, loop.time()
            await rig.transitions.step(payment, lambda now: after(now, SILENT))
            pauses.append(loop.time() - began)
        assert min(pauses) > 0
        assert pauses[0] != pauses[1]

    on_virtual_time(crowd)

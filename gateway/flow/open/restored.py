"""After the database was restored from a backup:
the books are minutes old, and the channels are not.

While the mode stands, nothing is opened for a tender before every channel account that could have
seen it was asked about the order numbers the tender would use, made by either numbering. They
follow from (merchant, store, order, tender, n) alone, so the lost payment had the same ones. What a
channel knows is relearned: paid is booked as paid and the till hears so; another amount freezes;
undecided is opened in doubt, for the sweeper; closed is a spent number. An account that cannot be
asked may hold a charge: then the tender is not charged until it answers. How they are asked, and
when the search may end, is `flow.learn.lost_attempts`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.case import CaseKind
from gateway.domain.payment import Payment
from gateway.domain.words import Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Paid
from gateway.flow.learn.lost_attempts import WHY, LostAttempts, Word, tender_at
from gateway.flow.learn.transition import Transitions
from gateway.flow.open.opening import Draft
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.ports import Opened, Ports
from gateway.telemetry.metrics import RELEARNED

log = structlog.get_logger("tillgate.restored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Asks before anything is opened."""

    ports: Ports
    transitions: Transitions
    lost: LostAttempts
    orders: OrderDesk

    async def relearn(self, draft: Draft) -> tuple[Draft, Paid | None]:
        """The draft with the first number that no channel knows; and the payment, where a channel
        knew of it. Raises `RestoredUnsure`.
        """
        if self.ports.directory.restored_from() is None or await self._in_the_books(draft):
            return draft, None
        found = await self.lost.search(draft.tender, sent_at=draft.now, first_n=1)
        if isinstance(found, int):
            return replace(draft, first_n=found), None
        return draft, await self._opened(draft, found)

    async def _in_the_books(self, draft: Draft) -> bool:
        """The key is bound: the books know this very request, and answer it."""
        tender = draft.tender
        bound = await self.ports.store.payment_by_key(
            tender.merchant_id, tender.store_id, draft.key
        )
        return bound is not None

    async def _opened(self, draft: Draft, word: Word) -> Paid | None:
        """In the books as sent, and at once what the channel says of it.

        None when another request was faster: the books answer.
        """
        tender = tender_at(word.account, replace(draft.tender, numbering=word.numbering))
        draft = replace(draft, tender=tender, now=self.ports.clock.now())
        choice = Choice(account=word.account, why=WHY)
        opening = draft.remote(self.ports.ids, choice, word.n)
        if not isinstance(await self.orders.open(opening, draft), Opened):
            return None
        payment = opening.payment
        told = (
            word.outcome
            if isinstance(word.outcome, o.Succeeded | o.Mismatch)
            else o.Unknown(reason="relearned")
        )
        payment = await self.transitions.learn(
            payment, payment.current.out_trade_no, told, Source.RELEARNED
        )
        RELEARNED.labels(word.account.manifest.channel, payment.status).inc()
        log.warning(
            "payment_relearned", payment=payment.id, account=word.account.id, status=payment.status
        )
        await self._close_case(payment, word.account)
        return Paid(payment, replayed=False)

    async def _close_case(self, payment: Payment, account: RemoteAccount) -> None:
        """A callback about this number may have come while the books did not know it."""
        about = f"{account.id}:{payment.current.out_trade_no}"
        reason = f"relearned after a restore as {payment.id}"
        await self.ports.store.settle_case(
            payment.merchant_id,
            about,
            CaseKind.CALLBACK_UNKNOWN_NUMBER,
            reason=reason,
            now=self.ports.clock.now(),
        )

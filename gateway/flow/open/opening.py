"""Write 1, drawn up: the claim, the payment and its first attempt, before anything is sent.

Pure but for the ids.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from adapters.channel import Entry, LocalSucceeded
from gateway.clock import Ids
from gateway.domain.change import Claim, Opening, Posting, payment_event
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.outcomes import Declined
from gateway.domain.payment import Attempt, Evidence, Failure, Payment
from gateway.domain.presenting import CashGiven, ShownQr
from gateway.domain.states import NEW, next_state
from gateway.domain.statuses import AttemptStatus
from gateway.domain.tender import Tender
from gateway.domain.words import Source
from gateway.flow.accounts import Candidate, RemoteAccount
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.learn.schedule import not_after
from gateway.limits import QR_EXPIRES_S_DEFAULT, SEND_DEADLINE_MS


class Draft(Struct, frozen=True, kw_only=True):
    """What an opening is made from, for whichever account takes its first attempt.

    `n`, below: the attempt's count within the tender.
    """

    command: PayCommand
    caller: Caller
    key: str
    tender: Tender
    fingerprint: bytes
    now: datetime
    numbers: Numbers
    days: Days
    worker_id: str
    # The first attempt number to try; higher only where channels know numbers that the books have
    # lost.
    first_n: int = 1

    def remote(self, ids: Ids, choice: Choice[RemoteAccount], n: int) -> Opening:
        """Durable as sent, before a byte leaves."""
        expires_at = self._expires_at(choice.account)
        acts_until = not_after(choice.account, self.tender.flow, self.now, expires_at)
        send_by = self.now + timedelta(milliseconds=SEND_DEADLINE_MS)
        attempt = self._attempt(
            ids,
            choice,
            n,
            status=AttemptStatus.SENT,
            send_by=send_by,
            not_after=acts_until,
            due_at=send_by,
        )
        payment = self._payment(ids, attempt, status=next_state(NEW, "sent"), expires_at=expires_at)
        return self._opening(payment, n)

    def local(
        self, ids: Ids, choice: Choice[Candidate], n: int, decision: LocalSucceeded | Declined
    ) -> Opening:
        """A tender of our own books settles in its one write."""
        if isinstance(decision, Declined):
            failure = Failure(
                code=decision.code, retry=decision.retry, channel_code=decision.channel_code
            )
            refusal = Evidence(
                at=self.now,
                source=Source.PAY,
                outcome=decision.word,
                proof=decision.proof,
                code=decision.code,
            )
            attempt = self._attempt(
                ids,
                choice,
                n,
                status=AttemptStatus.DECLINED,
                send_by=self.now,
                not_after=self.now,
                evidence=(refusal,),
            )
            return self._opening(
                self._payment(ids, attempt, status=next_state(NEW, "exhausted"), failure=failure), n
            )
        amount, given = self.command.amount, self.command.given
        attempt = self._attempt(
            ids,
            choice,
            n,
            status=AttemptStatus.SUCCEEDED,
            send_by=self.now,
            not_after=self.now,
            captured_amount=amount,
            received_amount=amount,
        )
        payment = self._payment(
            ids,
            attempt,
            status=next_state(NEW, "confirmed"),
            paid_at=self.now,
            tendered=given.tendered if isinstance(given, CashGiven) else None,
            change=decision.change,
        )
        return self._opening(payment, n, posted(payment.id, decision.entries))

    def _expires_at(self, account: RemoteAccount) -> datetime | None:
        given = self.command.given
        if not self.tender.flow.facts.is_shown:
            return None
        step = account.manifest.qr_expiry_step_s
        lives = given.lives_s if isinstance(given, ShownQr) else QR_EXPIRES_S_DEFAULT
        return self.now + timedelta(seconds=-(-lives // step) * step)

    def _attempt(self, ids: Ids, choice: Choice[Candidate], n: int, **fields: object) -> Attempt:
        return Attempt(
            id=ids.new("att"),
            number=1,
            trade_number=n,
            channel=choice.account.manifest.channel,
            channel_account=choice.account.id,
            out_trade_no=self.numbers.trade(self.tender, n),
            why=choice.why,
            worker_id=self.worker_id,
            sent_at=self.now,
            **fields,  # type: ignore[arg-type]
        )

    def _payment(self, ids: Ids, attempt: Attempt, **fields: object) -> Payment:
        command, tender = self.command, self.tender
        return Payment(
            id=ids.new("pay"),
            merchant_id=tender.merchant_id,
            store_id=tender.store_id,
            terminal_id=self.caller.terminal_id,
            asked_by=self.caller.key_id,
            order_no=tender.order_no,
            tender_no=tender.tender_no,
            amount=tender.amount,
            currency=tender.currency,
            channel=attempt.channel,
            flow=tender.flow,
            business_date=self.days.business_date(tender.merchant_id, tender.store_id, self.now),
            created_at=self.now,
            numbering=tender.numbering,
            days=self.days.rule,
            operator_id=command.operator_id,
            description=command.description,
            metadata=command.metadata,
            notify_url=command.notify_url,
            overrides=command.override.payment_id if command.override else None,
            attempts=(attempt,),
            **fields,  # type: ignore[arg-type]
        )

    def _opening(self, payment: Payment, n: int, postings: tuple[Posting, ...] = ()) -> Opening:
        claim = Claim(idempotency_key=self.key, fingerprint=self.fingerprint, first_n=n)
        return Opening(
            claim=claim,
            payment=payment,
            events=(payment_event(payment, was=None, at=self.now),),
            postings=postings,
        )


def posted(posting_id: str, entries: tuple[Entry, ...]) -> tuple[Posting, ...]:
    """Journal lines of one posting; refused unless they sum to zero."""
    if sum(entry.amount for entry in entries) != 0:
        raise ValueError(f"the lines of {posting_id} do not sum to zero")
    return tuple(
        Posting(posting_id=posting_id, account=entry.account, amount=entry.amount)
        for entry in entries
    )

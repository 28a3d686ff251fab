"""Write 1 with the rest of the order in view:
several tenders of one bill, and a supervisor's override.

A plain first tender opens in a batch and sees no other. Whatever may concern another tender opens
under the order's lock, where the store judges by `gateway.domain.order`; and so does every tender
of an order that has once been split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway import cases
from gateway.domain import order as o
from gateway.domain.acts import overridden
from gateway.domain.change import Opening
from gateway.domain.errors import (
    FieldInvalid,
    GatewayError,
    NotPermitted,
    OrderInDoubt,
    OrderOverpaid,
    Overloaded,
    OverrideRefused,
)
from gateway.domain.money import yuan
from gateway.domain.payment import Payment
from gateway.domain.resources import OrderResource
from gateway.domain.statuses import PaymentStatus
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering, Source
from gateway.flow.commands import Caller
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.transition import Transitions
from gateway.flow.open.opening import Draft
from gateway.flow.ports import (
    Directory,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    Stale,
    Store,
    TenderTaken,
)
from gateway.flow.visible import seen
from gateway.limits import STALE_RETRIES_MAX
from security.secret import Secret


class Supervisors(Protocol):
    """People who may let another payment in while one is in doubt."""

    async def prove(self, caller: Caller, store_id: str, supervisor_id: str, pin: Secret) -> None:
        """Returns where the person may act in this store and the PIN is right.

        Tries are bounded for the person at the caller's till, and for the person in all. Raises
        `SupervisorRefused`, `SupervisorWaits`, `SupervisorLocked`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDesk:
    """Opens payments."""

    store: Store
    directory: Directory
    supervisors: Supervisors
    transitions: Transitions
    in_flight: InFlight

    async def open(
        self, opening: Opening, draft: Draft
    ) -> Opened | KeyTaken | TenderTaken | NumberTaken:
        """Raises `OrderInDoubt`, `OrderOverpaid`, `OverrideRefused` and `FieldInvalid` with nothing
        written and the key unbound.
        """
        command = draft.command
        if command.tender_no == 1 and command.order_amount is None and command.override is None:
            result = await self.store.open(opening)
            if not isinstance(result, OrderSplit):
                return result
        for _ in range(STALE_RETRIES_MAX):
            override = await self._override(opening, draft)
            if isinstance(override, KeyTaken):
                return override
            answer = await self.store.open_in_order(
                opening, o.OrderTerms(amount=command.order_amount, override=override)
            )
            match answer:
                case Stale():  # the named payment moved: see what became of it
                    continue
                case o.AnotherInDoubt() | o.OrderAmountFixed() | o.WouldOverpay():
                    raise _refused(answer, draft)
                case Opened(case_opened=case_opened) if override is not None:
                    self._note(override, case_opened=case_opened)
            return answer
        raise Overloaded(
            "the payment in doubt changes all the time: try again",
            zh="原收款状态变化频繁，请重试",
        )

    async def _override(self, opening: Opening, draft: Draft) -> o.Override | KeyTaken | None:
        """What is to be written about the payment it names; or what the key is bound to, when a
        refusal would be about a repeat.
        """
        asked = draft.command.override
        if asked is None:
            return None
        merchant_id = draft.caller.merchant_id
        # A repeat needs no second proof, and does not use up a try.
        bound = await self.store.payment_by_key(merchant_id, draft.tender.store_id, draft.key)
        if bound is not None:
            return bound
        named = self._named(await self.store.payment(merchant_id, asked.payment_id), draft)
        if isinstance(named, GatewayError):
            raise named
        await self.supervisors.prove(draft.caller, named.store_id, asked.supervisor_id, asked.pin)
        change = overridden(
            named,
            by=opening.payment.id,
            words=f"{asked.supervisor_id}: {asked.reason}",
            occasion=self.transitions.occasion(Source.SUPERVISOR),
        )
        return o.Override(change=change, supervisor_id=asked.supervisor_id, reason=asked.reason)

    def _named(self, found: Payment | None, draft: Draft) -> Payment | GatewayError:
        """The payment in doubt that an override is about; or why there is none for this caller."""
        named = seen(draft.caller, found)
        if named is None or not _same_order(named, draft.tender):
            return FieldInvalid(
                "this order has no such payment",
                zh="该订单没有这笔收款",
                field="override.payment_id",
            )
        if not self.directory.overrides_allowed(named.merchant_id, named.store_id):
            return NotPermitted(
                "this store allows no overrides: wait for the result of the payment",
                zh="本门店不允许主管放行，请等待原收款的结果",
            )
        return named if named.status == PaymentStatus.IN_DOUBT else OverrideRefused(payment=named)

    def _note(self, override: o.Override, *, case_opened: bool) -> None:
        named, case = override.change.payment, override.change.case
        if case is not None and case_opened:
            cases.announce(named.id, case)
        self.in_flight.wake(named)


def _same_order(payment: Payment, tender: Tender) -> bool:
    return (payment.store_id, payment.order_no) == (tender.store_id, tender.order_no)


def _refused(answer: o.OrderRefusal, draft: Draft) -> GatewayError:
    # An order by merchant may have tenders of stores that the till may not see.
    by_merchant = draft.tender.numbering == Numbering.BY_MERCHANT
    is_told = draft.caller.store_id is None or not by_merchant
    match answer:
        case o.AnotherInDoubt(payment=other):
            return OrderInDoubt(payment=seen(draft.caller, other))
        case o.OrderAmountFixed() if not is_told:
            return FieldInvalid(
                "an earlier tender fixed another amount",
                zh="此前的收款已确定另一订单总额",
                field="order_amount",
            )
        case o.WouldOverpay() if not is_told:
            return OrderOverpaid(
                "other tenders leave less of the order than this one asks for",
                zh="其他收款后的剩余金额不足，未发起收款",
            )
        case o.OrderAmountFixed(amount=amount):
            return FieldInvalid(
                f"an earlier tender fixed the order's amount at {yuan(amount)}",
                zh=f"此前的收款已将订单总额定为 {yuan(amount)} 元",
                field="order_amount",
            )
        case o.WouldOverpay(amount=amount, counted=counted):
            order = OrderResource(
                order_no=draft.tender.order_no,
                currency=draft.tender.currency,
                amount=amount,
                amount_taken=counted,
                amount_left=max(0, amount - counted),
            )
            left = yuan(order.amount_left)
            return OrderOverpaid(
                f"other tenders take {yuan(counted)} of the order's {yuan(amount)}: {left} is left",
                zh=(
                    f"订单总额 {yuan(amount)} 元，其他收款已占 {yuan(counted)} 元，"
                    f"还可收 {left} 元，未发起收款"
                ),
                order=order,
            )

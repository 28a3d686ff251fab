"""Payments: create, read, list, cancel.

Decodes, asks the flow, encodes; every decision is the flow's.
"""

from contextlib import nullcontext
from datetime import datetime, timedelta

from gateway.domain.errors import FieldInvalid
from gateway.domain.payment import Payment
from gateway.domain.presenting import (
    CashGiven,
    Flow,
    Given,
    MethodOnly,
    PaymentCode,
    ShownQr,
)
from gateway.domain.resources import payment_json
from gateway.domain.web_address import web_address
from gateway.flow.commands import OverrideCommand, PayCommand
from gateway.flow.lists import PaymentFilter
from gateway.http.bodies import (
    CancelBody,
    NoQuery,
    OverrideBody,
    PayBody,
    PaymentsQuery,
    ReadQuery,
)
from gateway.http.decoding import decode_body, decode_query, decoder_of
from gateway.http.exchange import REPLAYED, Answer, Call, EdgeDeps
from gateway.limits import LIST_LOOK_BACK_DAYS


async def create_payment(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/payments`: 201 the first time, 200 with `Idempotency-Replayed: true` again."""
    decode_query(NoQuery, call.query_string)
    command = pay_command(decode_body(_PAY, call.body))
    paid = await deps.checkout.pay(command, call.caller, call.idempotency_key, call.wait_s)
    document = paid.document or _shown(paid.payment, deps)
    if paid.replayed:
        return Answer(200, document, headers=REPLAYED)
    return Answer(201, document, headers={"Location": f"/v1/payments/{paid.payment.id}"})


async def read_payment(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/payments/{payment_id}`: `?wait=30` answers as soon as a reader sees a change."""
    query = decode_query(ReadQuery, call.query_string)
    with deps.door.polling(call.caller.key_id) if query.wait else nullcontext():
        payment = await deps.lookup.payment(call.path["payment_id"], call.caller, query.wait)
    return Answer(200, _shown(payment, deps))


async def list_payments(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/payments`: newest first."""
    query = decode_query(PaymentsQuery, call.query_string)
    wanted = PaymentFilter(
        order_no=query.order_no,
        status=query.status,
        store_id=query.store_id,
        method=query.method,
        channel_account=query.channel_account,
        out_trade_no=query.out_trade_no,
        channel_trade_no=query.channel_trade_no,
        business_date=query.business_date,
        channel_date=query.channel_date,
        paid_from=query.paid_from,
        paid_to=query.paid_to,
        since=query.since or look_back(deps),
        until=query.until,
        limit=query.limit,
        starting_after=query.starting_after,
    )
    payments, has_more = await deps.lookup.payments(wanted, call.caller)
    return page([_shown(payment, deps) for payment in payments], has_more=has_more)


def look_back(deps: EdgeDeps) -> datetime:
    """From when a list is that does not say it."""
    return deps.clock.now() - timedelta(days=LIST_LOOK_BACK_DAYS)


async def cancel_payment(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/payments/{payment_id}/cancel`: the payment, ended or with its cancel under way."""
    decode_query(NoQuery, call.query_string)
    if call.body:
        decode_body(_CANCEL, call.body)
    payment: Payment = await deps.cancellation.cancel(
        call.path["payment_id"], call.caller, call.wait_s
    )
    return Answer(200, _shown(payment, deps))


def _shown(payment: Payment, deps: EdgeDeps) -> bytes:
    return payment_json(payment, deps.prospects.of_payment(payment))


def pay_command(body: PayBody) -> PayCommand:
    """The body as the flow knows it."""
    return PayCommand(
        order_no=body.order_no,
        tender_no=body.tender_no,
        amount=body.amount,
        currency=body.currency,
        method=body.method,
        given=_given(body),
        store_id=body.store_id,
        operator_id=body.operator_id,
        description=body.description,
        metadata=body.metadata,
        order_amount=body.order_amount,
        override=_override(body.override),
        notify_url=_spelt(body.notify_url),
    )


def _given(body: PayBody) -> Given:
    """How the customer pays. Raises `FieldInvalid` where the body says two ways at once."""
    if body.flow == Flow.QR:
        if body.auth_code is not None:
            raise FieldInvalid(
                "this way to pay takes no payment code",
                zh="该付款方式不用付款码",
                field="auth_code",
            )
        if body.cash is not None:
            raise FieldInvalid(
                "cash is tendered with method cash", zh="现金须使用付款方式 cash", field="cash"
            )
        return ShownQr(body.expires_in)
    if body.expires_in is not None:
        raise FieldInvalid(
            "only a code on display expires", zh="只有出示的收款码才有有效期", field="expires_in"
        )
    if body.auth_code is None:
        return MethodOnly() if body.cash is None else CashGiven(body.cash.tendered)
    if body.cash is not None:
        raise FieldInvalid(
            "cash is tendered with method cash", zh="现金须使用付款方式 cash", field="cash"
        )
    return PaymentCode(body.auth_code)


def _spelt(notify_url: str | None) -> str | None:
    """In its one spelling, so that two requests with the same address have the same body."""
    try:
        return None if notify_url is None else web_address(notify_url).url
    except ValueError as refusal:
        raise FieldInvalid(str(refusal), field="notify_url") from None


def _override(body: OverrideBody | None) -> OverrideCommand | None:
    if body is None:
        return None
    return OverrideCommand(
        payment_id=body.payment_id,
        supervisor_id=body.supervisor.id,
        pin=body.supervisor.pin,
        reason=body.reason,
    )


def page(objects: list[bytes], *, has_more: bool) -> Answer:
    """`{data, has_more}` out of objects that are encoded already."""
    return Answer(
        200,
        b'{"data":['
        + b",".join(objects)
        + (b'],"has_more":true}' if has_more else b'],"has_more":false}'),
    )


_PAY = decoder_of(PayBody)
_CANCEL = decoder_of(CancelBody)

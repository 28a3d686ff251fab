"""Refunds: create, read, list. Decodes, asks the flow, encodes; every decision is the flow's."""

from contextlib import nullcontext

from gateway.domain.payment import Refund
from gateway.domain.resources import refund_json
from gateway.flow.commands import RefundCommand
from gateway.flow.lists import RefundFilter
from gateway.http.bodies import NoQuery, ReadQuery, RefundBody, RefundsQuery
from gateway.http.decoding import decode_body, decode_query, decoder_of
from gateway.http.exchange import REPLAYED, Answer, Call, EdgeDeps
from gateway.http.payments import look_back, page


async def create_refund(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/payments/{payment_id}/refunds`:
    201 the first time, 200 with `Idempotency-Replayed: true` again.
    """
    decode_query(NoQuery, call.query_string)
    body = decode_body(_REFUND, call.body)
    command = RefundCommand(
        refund_no=body.refund_no,
        amount=body.amount,
        reason=body.reason,
        operator_id=body.operator_id,
    )
    refunded = await deps.refunds.refund(
        call.path["payment_id"], command, call.caller, call.idempotency_key, call.wait_s
    )
    if refunded.replayed:
        return Answer(200, _shown(refunded.refund, deps), headers=REPLAYED)
    return Answer(
        201,
        _shown(refunded.refund, deps),
        headers={"Location": f"/v1/refunds/{refunded.refund.id}"},
    )


async def read_refund(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/refunds/{refund_id}`: `?wait=30` as for a payment."""
    query = decode_query(ReadQuery, call.query_string)
    with deps.door.polling(call.caller.key_id) if query.wait else nullcontext():
        refund = await deps.lookup.refund(call.path["refund_id"], call.caller, query.wait)
    return Answer(200, _shown(refund, deps))


async def list_refunds_of(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/payments/{payment_id}/refunds`: all of them, oldest first."""
    decode_query(NoQuery, call.query_string)
    refunds = await deps.lookup.refunds_of(call.path["payment_id"], call.caller)
    return page([_shown(refund, deps) for refund in refunds], has_more=False)


async def list_refunds(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/refunds`: newest first."""
    query = decode_query(RefundsQuery, call.query_string)
    wanted = RefundFilter(
        refund_no=query.refund_no,
        status=query.status,
        origin=query.origin,
        payment=query.payment,
        store_id=query.store_id,
        since=query.since or look_back(deps),
        until=query.until,
        limit=query.limit,
        starting_after=query.starting_after,
    )
    refunds, has_more = await deps.lookup.refunds(wanted, call.caller)
    return page([_shown(refund, deps) for refund in refunds], has_more=has_more)


def _shown(refund: Refund, deps: EdgeDeps) -> bytes:
    return refund_json(refund, deps.prospects.of_refund(refund))


_REFUND = decoder_of(RefundBody)

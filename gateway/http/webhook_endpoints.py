"""Webhook endpoints: create, list, read, rotate, disable, enable, deliveries, resend.

Decodes, asks the flow, encodes.
"""

import msgspec

from gateway.domain.audit import AskedBy
from gateway.http.bodies import (
    DeliveriesQuery,
    NoQuery,
    NothingBody,
    ResendBody,
    WebhookEndpointBody,
    WebhookEndpointsQuery,
)
from gateway.http.decoding import decode_body, decode_query, decoder_of
from gateway.http.exchange import REPLAYED, Answer, Call, EdgeDeps
from gateway.http.pages import (
    DeliveryAnswer,
    DeliveryResource,
    ResentResource,
    WebhookEndpointResource,
)
from gateway.http.payments import page
from gateway.webhooks.endpoints import DeliveryFilter, DeliveryRecord, Endpoint, Issued


async def create_webhook_endpoint(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/webhook-endpoints`: 201 with the secret the first time; 200 without it again (a
    lost secret is rotated).
    """
    decode_query(NoQuery, call.query_string)
    body = decode_body(_ENDPOINT, call.body)
    issued = await deps.webhooks.create(
        call.caller.merchant_id,
        body.url,
        body.event_types,
        body.concurrency,
        call.idempotency_key,
        asked_by=_asked_by(call),
    )
    if issued.secret is None:
        return Answer(200, _issued(issued), headers=REPLAYED)
    return Answer(
        201, _issued(issued), headers={"Location": f"/v1/webhook-endpoints/{issued.endpoint.id}"}
    )


async def list_webhook_endpoints(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/webhook-endpoints`: oldest first, in pages."""
    query = decode_query(WebhookEndpointsQuery, call.query_string)
    found, has_more = await deps.webhooks.endpoints(
        call.caller.merchant_id, query.starting_after, query.limit
    )
    return page([_shown(endpoint) for endpoint in found], has_more=has_more)


async def read_webhook_endpoint(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/webhook-endpoints/{endpoint_id}`."""
    decode_query(NoQuery, call.query_string)
    return Answer(200, _shown(await deps.webhooks.endpoint(*_named(call))))


async def rotate_webhook_secret(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret`: the endpoint with its new secret,
    which a repeat of the same signed request does not show.
    """
    _nothing_said(call)
    issued = await deps.webhooks.rotate(*_named(call), _asked_by(call))
    return Answer(200, _issued(issued), again=_shown(issued.endpoint))


async def disable_webhook_endpoint(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/webhook-endpoints/{endpoint_id}/disable`: what waits becomes dead letters."""
    _nothing_said(call)
    return Answer(200, _shown(await deps.webhooks.disable(*_named(call), _asked_by(call))))


async def enable_webhook_endpoint(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/webhook-endpoints/{endpoint_id}/enable`: told again from now on."""
    _nothing_said(call)
    return Answer(200, _shown(await deps.webhooks.enable(*_named(call), _asked_by(call))))


async def list_deliveries(call: Call, deps: EdgeDeps) -> Answer:
    """`GET /v1/webhook-endpoints/{endpoint_id}/deliveries`:
    what became of each event, and what was answered.
    """
    query = decode_query(DeliveriesQuery, call.query_string)
    wanted = DeliveryFilter(
        event_id=query.event_id,
        state=query.state,
        limit=query.limit,
        starting_after=query.starting_after,
    )
    found, has_more = await deps.webhooks.deliveries(*_named(call), wanted)
    return page([_delivery(each) for each in found], has_more=has_more)


async def resend_webhooks(call: Call, deps: EdgeDeps) -> Answer:
    """`POST /v1/webhook-endpoints/{endpoint_id}/resend`:
    one event, or the dead letters since a time.
    """
    decode_query(NoQuery, call.query_string)
    body = decode_body(_RESEND, call.body)
    resent = await deps.webhooks.resend(*_named(call), body.event_id, body.dead_since)
    return Answer(200, _encode(ResentResource(resent=resent)))


_encode = msgspec.json.Encoder().encode
_ENDPOINT = decoder_of(WebhookEndpointBody)
_RESEND = decoder_of(ResendBody)
_NOTHING = decoder_of(NothingBody)


def _named(call: Call) -> tuple[str, str]:
    return call.caller.merchant_id, call.path["endpoint_id"]


def _asked_by(call: Call) -> AskedBy:
    return AskedBy("key", call.caller.key_id)


def _nothing_said(call: Call) -> None:
    decode_query(NoQuery, call.query_string)
    if call.body:
        decode_body(_NOTHING, call.body)


def _issued(issued: Issued) -> bytes:
    return _encode(_resource(issued.endpoint, issued.secret.reveal() if issued.secret else None))


def _shown(endpoint: Endpoint) -> bytes:
    return _encode(_resource(endpoint, None))


def _resource(endpoint: Endpoint, secret: str | None) -> WebhookEndpointResource:
    return WebhookEndpointResource(
        id=endpoint.id,
        url=endpoint.url,
        event_types=endpoint.event_types,
        concurrency=endpoint.concurrency,
        status="enabled" if endpoint.enabled else "disabled",
        disabled_reason=endpoint.disabled_reason,
        rotating_until=endpoint.rotating_until,
        secret=secret,
        created_at=endpoint.created_at,
    )


def _delivery(delivery: DeliveryRecord) -> bytes:
    return _encode(
        DeliveryResource(
            event_id=delivery.event_id,
            type=delivery.type,
            url=delivery.url,
            state=delivery.state,
            tries=delivery.tries,
            created_at=delivery.created_at,
            due_at=delivery.due_at,
            answers=tuple(
                DeliveryAnswer(
                    number=each.number,
                    at=each.at,
                    status=each.status,
                    words=each.words,
                    took_ms=each.took_ms,
                )
                for each in delivery.answers
            ),
        )
    )

"""Examples of requests and answers, made of the structs that decode and encode the real ones."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.presenting import Flow
from gateway.domain.resources import (
    AttemptResource,
    FailureResource,
    NextAction,
    Payer,
    PaymentResource,
    RefundResource,
)
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.verdicts import FAILURES, VERDICTS, VerdictCode
from gateway.domain.words import Origin
from gateway.http.bodies import (
    CancelBody,
    NothingBody,
    PayBody,
    RefundBody,
    ResendBody,
    WebhookEndpointBody,
)
from gateway.http.pages import (
    AliveResource,
    DeliveryAnswer,
    DeliveryPage,
    DeliveryResource,
    EventData,
    EventResource,
    EventsPage,
    PaymentPage,
    ReadyResource,
    RefundPage,
    ResentResource,
    WebhookEndpointList,
    WebhookEndpointResource,
)

VECTOR: Final = {
    "secret": "sk_test_0123456789abcdef",
    "method": "POST",
    "path": "/v1/payments",
    "ts": "1795219200",
    "idempotency_key": "idem-0001",
    "body": (
        '{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'
    ),
    "sig": "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI=",
}


_AT: Final = datetime(2026, 11, 21, 3, 29, 5, 120_000, tzinfo=UTC)
_ACCOUNT, _TRADE = "acct_alipay_1", "P1KZ3M7QXW5NB2VJH6RTYC4DGFAE"

PAID: Final = PaymentResource(
    id="pay_5a1f0c7d2b9e4386",
    version=2,
    status=PaymentStatus.SUCCEEDED,
    order_no="T08-0042",
    tender_no=1,
    amount=12_850,
    currency="CNY",
    amount_captured=12_850,
    amount_received=12_850,
    amount_refunded=0,
    discounts=(),
    fee=None,
    method="alipay",
    flow=Flow.CODE,
    store_id="sto_east",
    terminal_id="term_1",
    operator_id=None,
    description=None,
    business_date="2026-11-21",
    channel_date="2026-11-21",
    channel_account=_ACCOUNT,
    out_trade_no=_TRADE,
    channel_trade_no="2026112122001400001234567890",
    payer=Payer(ref_masked="159****0000"),
    change=None,
    verdict=VERDICTS[VerdictCode.PAID],
    next_action=None,
    failure=None,
    attempts=(
        AttemptResource(
            id="att_7c2e9d104fb85a36",
            number=1,
            channel_account=_ACCOUNT,
            status=AttemptStatus.SUCCEEDED,
            out_trade_no=_TRADE,
            sent_at=_AT,
            captured_amount=12_850,
            returned_amount=0,
            why=f"number 1 by priority of: {_ACCOUNT}",
        ),
    ),
    created_at=_AT,
    paid_at=_AT.replace(microsecond=0) + timedelta(seconds=1),
    expires_at=None,
    cancel_requested_at=None,
    overrides=None,
    metadata={},
)


def _open(
    status: PaymentStatus, attempt: AttemptStatus, verdict: VerdictCode, next_action: NextAction
) -> PaymentResource:
    return replace(
        PAID,
        status=status,
        amount_captured=0,
        amount_received=0,
        channel_trade_no=None,
        payer=None,
        verdict=VERDICTS[verdict],
        next_action=next_action,
        attempts=(replace(PAID.attempts[0], status=attempt, captured_amount=0),),
        paid_at=None,
    )


_POLL: Final = NextAction(type="poll", after_ms=1_000, decides_by=_AT + timedelta(seconds=75))
_WAITING = _open(PaymentStatus.AWAITING_PAYER, AttemptStatus.PENDING, VerdictCode.WAIT, _POLL)
_SHOWN = replace(
    _WAITING,
    flow=Flow.QR,
    next_action=NextAction(type="show_qr", after_ms=1_000, qr_code="https://qr.alipay.com/bax01"),
    expires_at=_AT + timedelta(minutes=5),
)
_IN_DOUBT = _open(
    PaymentStatus.IN_DOUBT, AttemptStatus.IN_DOUBT, VerdictCode.DO_NOT_CHARGE_AGAIN, _POLL
)
_REASON = FailureCode.INSUFFICIENT_BALANCE
_REFUSED = replace(
    _open(PaymentStatus.FAILED, AttemptStatus.DECLINED, VerdictCode.SAFE_TO_CHARGE_AGAIN, _POLL),
    next_action=None,
    failure=FailureResource(
        code=_REASON,
        retry=Retry.OTHER_METHOD,
        zh=FAILURES[_REASON][0],
        en=FAILURES[_REASON][1],
        channel_code="ACQ.BUYER_BALANCE_NOT_ENOUGH",
    ),
)
_REFUND = RefundResource(
    id="ref_0b64d1f2a97c3e58",
    version=2,
    refund_no="R-0042-1",
    payment_id=PAID.id,
    attempt_id=PAID.attempts[0].id,
    out_refund_no="P1QJ5T2MZC7WX3VNBK6HRYD4GFAE",
    channel_refund_no=None,
    amount=500,
    currency="CNY",
    status=RefundStatus.SUCCEEDED,
    verdict=VERDICTS[VerdictCode.REFUNDED],
    next_action=None,
    failure=None,
    origin=Origin.MERCHANT,
    reason="dish sold out",
    terminal_id="term_1",
    operator_id="c07",
    business_date="2026-11-21",
    channel_date="2026-11-21",
    created_at=_AT,
    refunded_at=_AT + timedelta(seconds=2),
)
_EVENT = EventResource(
    type="payment.succeeded",
    id="evt_3f0d9a6c51e27b84f3d6a0c95b1e7284",
    created_at=_AT,
    data=EventData(payment=PAID),
)
_ENDPOINT = WebhookEndpointResource(
    id="whe_91d4c07e5ab3f268",
    url="https://shop.example/tillgate",
    event_types=("payment.succeeded", "refund.succeeded"),
    concurrency=8,
    status="enabled",
    disabled_reason=None,
    rotating_until=None,
    secret=None,
    created_at=_AT,
)
_DELIVERY = DeliveryResource(
    event_id=_EVENT.id,
    type=_EVENT.type,
    url=None,
    state="waiting",
    tries=1,
    created_at=_AT,
    due_at=_AT + timedelta(seconds=5),
    answers=(DeliveryAnswer(number=1, at=_AT, status=500, words="Internal error", took_ms=84),),
)

# struct -> name -> value
EXAMPLES: Final[dict[type, dict[str, Any]]] = {
    PayBody: {
        "payment_code": msgspec.json.decode(VECTOR["body"]),
        "qr": {
            "order_no": "T08-0043",
            "amount": 8_800,
            "currency": "CNY",
            "method": "wechat",
            "flow": "qr",
        },
        "cash": {
            "order_no": "T08-0044",
            "amount": 4_650,
            "currency": "CNY",
            "method": "cash",
            "cash": {"tendered": 10_000},
        },
    },
    RefundBody: {
        "a_part": {
            "refund_no": "R-0042-1",
            "amount": 500,
            "reason": "dish sold out",
            "operator_id": "c07",
        }
    },
    CancelBody: {"nothing": {}},
    NothingBody: {"nothing": {}},
    WebhookEndpointBody: {
        "two_kinds": {
            "url": "https://shop.example/tillgate",
            "event_types": ["payment.succeeded", "refund.succeeded"],
        }
    },
    ResendBody: {"dead_letters": {"dead_since": "2026-11-21T00:00:00Z"}},
    PaymentResource: {
        "paid": PAID,
        "customer_types_the_password": _WAITING,
        "qr_is_shown": _SHOWN,
        "answer_unknown": _IN_DOUBT,
        "not_charged": _REFUSED,
    },
    PaymentPage: {"one": PaymentPage(data=(PAID,), has_more=False)},
    RefundResource: {"refunded": _REFUND},
    RefundPage: {"one": RefundPage(data=(_REFUND,), has_more=False)},
    EventResource: {
        "payment": _EVENT,
        "refund": replace(_EVENT, type="refund.succeeded", data=EventData(refund=_REFUND)),
    },
    EventsPage: {"one": EventsPage(data=(_EVENT,), next_cursor="c1~4711~9", has_more=False)},
    WebhookEndpointResource: {"enabled": _ENDPOINT},
    WebhookEndpointList: {"one": WebhookEndpointList(data=(_ENDPOINT,), has_more=False)},
    DeliveryPage: {"one_waits": DeliveryPage(data=(_DELIVERY,), has_more=False)},
    ResentResource: {"three": ResentResource(resent=3)},
    ReadyResource: {"ready": ReadyResource(ready=True)},
    AliveResource: {"alive": AliveResource(status="alive")},
}

"""Every route of the gateway: method, path, who may, who answers. A stranger starts reading here.

What every signed route may refuse besides its own errors: 400, 401, 403, 413, 500 and 503.
"""

from gateway.domain.errors import (
    AlreadyPaid,
    AmountInvalid,
    AuthCodeUnrecognized,
    FieldInvalid,
    FieldMissing,
    FieldUnknown,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    MethodUnavailable,
    NotFound,
    OrderTenderTaken,
    Overloaded,
    PaymentFrozen,
    PaymentNotPaid,
    RefundExceedsCaptured,
    RefundNoTaken,
    StoreUnavailable,
)
from gateway.domain.resources import PaymentResource, RefundResource
from gateway.http.bodies import CancelBody, EventsQuery, PayBody, PaymentQuery, PaymentsQuery, RefundBody, RefundsQuery
from gateway.http.callbacks import take_callback
from gateway.http.events import list_events
from gateway.http.exchange import OpenRoute, Route
from gateway.http.operations import docs_page, healthz, metrics, openapi_document, readyz
from gateway.http.pages import AliveResource, EventsPage, PaymentPage, ReadinessResource, RefundPage
from gateway.http.payments import cancel_payment, create_payment, list_payments, read_payment
from gateway.http.refunds import create_refund, list_refunds, list_refunds_of, read_refund
from security.roles import Permission

_BAD_QUERY = (FieldUnknown, FieldInvalid)
_BAD_BODY = (FieldUnknown, FieldMissing, FieldInvalid)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/payments",
        permission=Permission.PAYMENT_CREATE,
        handler=create_payment,
        title_en="Take a payment",
        title_zh="收款",
        body=PayBody,
        needs_idempotency_key=True,
        waits=True,
        shows_verdict=True,
        answers={201: PaymentResource, 200: PaymentResource},
        errors=(
            IdempotencyKeyMissing,
            OrderTenderTaken,
            *_BAD_BODY,
            AmountInvalid,
            AuthCodeUnrecognized,
            IdempotencyKeyReused,
            MethodUnavailable,
            Overloaded,
        ),
    ),
    Route(
        method="GET",
        path="/v1/payments",
        permission=Permission.PAYMENT_READ,
        handler=list_payments,
        title_en="List payments",
        title_zh="查询收款列表",
        query=PaymentsQuery,
        answers={200: PaymentPage},
        errors=_BAD_QUERY,
    ),
    Route(
        method="GET",
        path="/v1/payments/{payment_id}",
        permission=Permission.PAYMENT_READ,
        handler=read_payment,
        title_en="Read a payment, or wait for its next version",
        title_zh="查询收款，可等待结果",
        query=PaymentQuery,
        answers={200: PaymentResource},
        errors=(NotFound, *_BAD_QUERY),
    ),
    Route(
        method="POST",
        path="/v1/payments/{payment_id}/cancel",
        permission=Permission.PAYMENT_CANCEL,
        handler=cancel_payment,
        title_en="Do not let a payment succeed",
        title_zh="撤销收款",
        body=CancelBody,
        waits=True,
        answers={200: PaymentResource},
        errors=(NotFound, AlreadyPaid, PaymentFrozen, FieldUnknown),
    ),
    Route(
        method="POST",
        path="/v1/payments/{payment_id}/refunds",
        permission=Permission.REFUND_CREATE,
        handler=create_refund,
        title_en="Give money back",
        title_zh="退款",
        body=RefundBody,
        needs_idempotency_key=True,
        waits=True,
        answers={201: RefundResource, 200: RefundResource},
        errors=(
            IdempotencyKeyMissing,
            NotFound,
            PaymentNotPaid,
            RefundExceedsCaptured,
            RefundNoTaken,
            PaymentFrozen,
            *_BAD_BODY,
            AmountInvalid,
            IdempotencyKeyReused,
        ),
    ),
    Route(
        method="GET",
        path="/v1/payments/{payment_id}/refunds",
        permission=Permission.REFUND_READ,
        handler=list_refunds_of,
        title_en="List the refunds of a payment",
        title_zh="查询一笔收款的退款",
        answers={200: RefundPage},
        errors=(NotFound, FieldUnknown),
    ),
    Route(
        method="GET",
        path="/v1/refunds/{refund_id}",
        permission=Permission.REFUND_READ,
        handler=read_refund,
        title_en="Read a refund",
        title_zh="查询退款",
        answers={200: RefundResource},
        errors=(NotFound, FieldUnknown),
    ),
    Route(
        method="GET",
        path="/v1/refunds",
        permission=Permission.REFUND_READ,
        handler=list_refunds,
        title_en="List refunds",
        title_zh="查询退款列表",
        query=RefundsQuery,
        answers={200: RefundPage},
        errors=_BAD_QUERY,
    ),
    Route(
        method="GET",
        path="/v1/events",
        permission=Permission.EVENT_READ,
        handler=list_events,
        title_en="Read events in commit order",
        title_zh="按提交顺序读取事件",
        query=EventsQuery,
        answers={200: EventsPage},
        errors=_BAD_QUERY,
    ),
)

OPEN_ROUTES: tuple[OpenRoute, ...] = (
    OpenRoute(
        method="POST",
        path="/callbacks/{channel_account}",
        handler=take_callback,
        title_en="A channel tells us the result",
        title_zh="渠道回调",
        takes_body=True,
        answers=dict.fromkeys((200, 204, 400, 401), "*/*"),  # taken or refused, in each channel's own words
        errors=(NotFound, StoreUnavailable),
    ),
    OpenRoute(method="GET", path="/healthz", handler=healthz, title_en="Alive", title_zh="存活检查", answers={200: AliveResource}),
    OpenRoute(
        method="GET",
        path="/readyz",
        handler=readyz,
        title_en="Ready for traffic",
        title_zh="就绪检查",
        answers={200: ReadinessResource, 503: ReadinessResource},
    ),
    OpenRoute(
        method="GET", path="/metrics", handler=metrics, title_en="Prometheus metrics", title_zh="监控指标", answers={200: "text/plain"}
    ),
    OpenRoute(
        method="GET",
        path="/openapi.json",
        handler=openapi_document,
        title_en="The OpenAPI 3.1 document",
        title_zh="接口描述文件",
        answers={200: "application/json"},
    ),
    OpenRoute(method="GET", path="/docs", handler=docs_page, title_en="This page", title_zh="本页", answers={200: "text/html"}),
)

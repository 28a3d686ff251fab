"""What a refusal looks like: RFC 9457 `application/problem+json`,
made from the error tree of `gateway.domain.errors`.
"""

import traceback
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog
from msgspec import Struct

from gateway.domain.errors import GatewayError, leaves
from gateway.domain.payment import Payment
from gateway.domain.resources import (
    ENDED,
    OrderResource,
    PaymentResource,
    Prospect,
    payment_resource,
)
from gateway.domain.verdicts import VERDICTS, Titles, Verdict, verdict_for_others
from gateway.http.exchange import Answer

log = structlog.get_logger("tillgate.http")

PROBLEM_JSON = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal. `code` is stable and for machines, `detail` and `detail_zh` are for people.

    `verdict` is what the cashier may do. A carried payment has the verdict that this request may
    hear of it, which is never `paid`.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    detail_zh: str
    request_id: str
    verdict: Verdict
    field: str | None = None
    payment: PaymentResource | None = None
    order: OrderResource | None = None
    server_time: int | None = None


class Internal(GatewayError):
    """Something broke on our side; how far the request got is not known."""

    title = "Something went wrong on our side: report the request_id"


class Told(NamedTuple):
    """What a problem tells of the payment it carries: the channels' names, and what lies ahead."""

    titles: Titles
    ahead: Callable[[Payment], Prospect]


NOTHING_TOLD = Told({}, lambda _: ENDED)  # of a route whose refusals carry no payment


def problem_of(error: GatewayError, request_id: str, told: Told) -> Problem:
    """The body."""
    payment = error.payment
    heard = None if payment is None else verdict_for_others(payment, told.titles, error.advice)
    return Problem(
        type=f"/docs#{error.code}",
        title=error.title,
        status=error.http_status,
        code=error.code,
        detail=error.detail,
        detail_zh=error.detail_zh,
        request_id=request_id,
        verdict=heard if heard and error.tells_of_payment else VERDICTS[error.verdict],
        field=error.field or None,
        payment=payment_resource(payment, told.ahead(payment), heard) if payment else None,
        order=error.order,
        server_time=error.server_time,
    )


def problem_answer(error: GatewayError, request_id: str, told: Told) -> Answer:
    """The answer, with `Retry-After` where waiting helps."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return Answer(
        error.http_status,
        _encode(problem_of(error, request_id, told)),
        PROBLEM_JSON,
        headers,
    )


_encode = msgspec.json.Encoder().encode


def report(accident: BaseException, request_id: str, template: str) -> None:
    """Log what was not foreseen.

    The traceback goes as text: renderers that show local variables would show bodies.
    """
    log.error(
        "request failed",
        request_id=request_id,
        route=template,
        error=type(accident).__name__,
        trace="".join(traceback.format_exception(accident)),
    )


def documented() -> list[type[GatewayError]]:
    """The errors by code; `internal` as it really goes out."""
    return [Internal if leaf is GatewayError else leaf for leaf in leaves()]

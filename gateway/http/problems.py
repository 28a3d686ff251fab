"""What a refusal looks like: RFC 9457 `application/problem+json`,
made from the error tree of `gateway.domain.errors`.
"""

import traceback

import msgspec
import structlog
from msgspec import Struct

from gateway.domain.errors import GatewayError, leaves
from gateway.domain.resources import PaymentResource, payment_resource
from gateway.domain.verdicts import VERDICTS, Verdict, verdict_of
from gateway.http.exchange import Answer

log = structlog.get_logger("tillgate.http")

PROBLEM_JSON = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal. `code` is stable and for machines, `detail` and `zh` are for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    zh: str
    request_id: str
    field: str | None = None
    verdict: Verdict | None = None
    payment: PaymentResource | None = None
    server_time: int | None = None


class Internal(GatewayError):
    """Something broke on our side; how far the request got is not known, so nobody may charge again
    on its account.
    """

    verdict = "do_not_charge_again"
    title = "Something went wrong on our side: report the request_id"


def problem_of(error: GatewayError, request_id: str, *, shows_verdict: bool) -> Problem:
    """The body. A payment, where one is to blame, comes with its verdict on every route."""
    return Problem(
        type=f"/docs#{error.code}",
        title=error.title,
        status=error.http_status,
        code=error.code,
        detail=error.detail,
        zh=error.zh,
        request_id=request_id,
        field=error.field or None,
        verdict=_verdict(error) if shows_verdict or error.payment else None,
        payment=payment_resource(error.payment) if error.payment else None,
        server_time=error.server_time,
    )


def problem_answer(error: GatewayError, request_id: str, *, shows_verdict: bool = False) -> Answer:
    """The answer, with `Retry-After` where waiting helps."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return Answer(
        error.http_status,
        _encode(problem_of(error, request_id, shows_verdict=shows_verdict)),
        PROBLEM_JSON,
        headers,
    )


_encode = msgspec.json.Encoder().encode


def _verdict(error: GatewayError) -> Verdict:
    return verdict_of(error.payment) if error.payment else VERDICTS[error.verdict]


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

"""The root of the tree and its families: what every error of a kind has in common."""

from __future__ import annotations

from typing import ClassVar

from gateway.domain.payment import Payment
from gateway.domain.resources import OrderResource
from gateway.domain.verdicts import VerdictCode, Words


class GatewayError(Exception):
    """A refusal with a sentence for people: what is wrong and what to do.

    `zh`: the sentence in Chinese; without it the class's own, with the field it is about.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    sendable_again: ClassVar[bool] = False
    # How far the request got is not known.
    verdict: ClassVar[VerdictCode] = VerdictCode.DO_NOT_CHARGE_AGAIN
    # Where a payment is carried, what became of it is the verdict in place of `verdict`.
    tells_of_payment: ClassVar[bool] = False
    advice: ClassVar[Words] = Words("本次未收款", "Nothing was charged now")
    title: ClassVar[str] = "Something went wrong on our side"
    zh: ClassVar[str] = "系统异常"
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        zh: str | None = None,
        field: str | None = None,
        payment: Payment | None = None,
        order: OrderResource | None = None,
        server_time: int | None = None,
    ) -> None:
        self.detail = detail or self.title
        self.detail_zh = zh or (f"{self.zh}：{field}" if field else self.zh)
        super().__init__(self.detail)
        self.field = field
        self.payment = payment
        self.order = order
        self.server_time = server_time


class BadRequest(GatewayError):
    http_status = 400
    verdict = VerdictCode.FIX_AND_TRY


class Unauthenticated(GatewayError):
    http_status = 401
    verdict = VerdictCode.FIX_AND_TRY


class Conflict(GatewayError):
    """Carries the payment it collided with, where the caller may see it."""

    http_status = 409


class Refused(GatewayError):
    """Carries `field`."""

    http_status = 422
    verdict = VerdictCode.FIX_AND_TRY


class Unavailable(GatewayError):
    """Nothing was bound to the key unless `OutcomePending` says so."""

    http_status = 503
    sendable_again = True
    verdict = VerdictCode.TRY_AGAIN
    retry_after_s = 1


def leaves(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Every error with a code of its own, for the documents."""
    below = [leaf for child in root.__subclasses__() for leaf in leaves(child)]
    return ([root] if vars(root).get("code") else []) + below

"""The root of the tree and its families: what every error of a kind has in common."""

from __future__ import annotations

from typing import ClassVar

from gateway.domain.payment import Payment


class GatewayError(Exception):
    """A refusal with a sentence for people: what is wrong and what to do."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    sendable_again: ClassVar[bool] = False
    verdict: ClassVar[str] = "try_again"
    title: ClassVar[str] = "Something went wrong on our side"
    zh: ClassVar[str] = "系统异常"
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        payment: Payment | None = None,
        server_time: int | None = None,
    ) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)
        self.field = field
        self.payment = payment
        self.server_time = server_time


class BadRequest(GatewayError):
    http_status = 400


class Unauthenticated(GatewayError):
    http_status = 401


class Conflict(GatewayError):
    """Carries the payment it collided with, whose verdict the till shows."""

    http_status = 409
    verdict = "do_not_charge_again"


class Refused(GatewayError):
    """Carries `field`."""

    http_status = 422


class Unavailable(GatewayError):
    """Nothing was bound to the key unless `OutcomePending` says so."""

    http_status = 503
    sendable_again = True
    retry_after_s = 1


def leaves(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Every error with a code of its own, for the documents."""
    below = [leaf for child in root.__subclasses__() for leaf in leaves(child)]
    return ([root] if vars(root).get("code") else []) + below

"""One Template account as a `Channel`: build, sign, send, verify and translate, once a call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from adapters import documents
from adapters._template import signing, translate, wire
from adapters._template.credentials import Credentials
from adapters.channel import (
    REFUSED_UNSIGNED,
    Callback,
    CallbackAnswer,
    CallbackRefused,
    PayRequest,
    RefundRequest,
    TradeRef,
)
from adapters.transport import AnswerLostError, ChannelTransport, HttpCall, NotSentError
from gateway.clock import Clock
from gateway.domain.outcomes import (
    CancelOutcome,
    NotSent,
    PayOutcome,
    QueryOutcome,
    RefundOutcome,
    RefundQueryOutcome,
    Unknown,
)
from gateway.domain.presenting import PaymentCode
from gateway.limits import CALLBACK_BODY_BYTES_MAX, EVIDENCE_CHARS_MAX

HTTP_OK: Final = 200

_T = TypeVar("_T", PayOutcome, QueryOutcome, CancelOutcome, RefundOutcome, RefundQueryOutcome)


def build(credentials: Credentials, transport: ChannelTransport, clock: Clock) -> "TemplateChannel":
    """The channel of one account."""
    del clock  # this protocol's requests carry no time of their own
    return TemplateChannel(credentials, transport)


@dataclass(frozen=True, slots=True)
class Reply:
    """A verified answer and the words it came in."""

    answer: wire.Answer
    evidence: str


class TemplateChannel:
    """See `adapters.channel.Channel`."""

    def __init__(self, credentials: Credentials, transport: ChannelTransport) -> None:
        self._account = credentials
        self._transport = transport

    @property
    def hosts(self) -> int:
        """See `Channel`."""
        return len(self._account.base_urls)

    async def pay(self, request: PayRequest) -> PayOutcome:
        """POST /pay for a scanned code, POST /precreate for a QR code."""
        presented = request.presented
        if not isinstance(presented, PaymentCode):
            return await self._precreate(request)
        body = wire.Pay(
            merchant_id=self._account.merchant_id,
            out_trade_no=request.out_trade_no,
            amount=request.amount,
            auth_code=presented.auth_code.reveal(),
            expires_at_ms=int(request.not_after.timestamp()) * 1000,
            notify_url=request.notify_url or self._account.notify_url,
        )
        reply = await self._ask("pay", body, request)
        return _judged(
            reply, lambda answer: translate.paid(answer, request, self._account.merchant_id)
        )

    async def query(self, trade: TradeRef) -> QueryOutcome:
        """POST /query."""
        reply = await self._ask("query", self._trade(trade), trade)
        return _judged(
            reply,
            lambda answer: translate.queried(answer, trade, self._account.merchant_id),
        )

    async def cancel(self, trade: TradeRef) -> CancelOutcome:
        """POST /cancel: closes an unpaid trade, gives a paid one back."""
        reply = await self._ask("cancel", self._trade(trade), trade)
        return _judged(reply, lambda answer: translate.canceled(answer, trade))

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """POST /refund."""
        reply = await self._ask("refund", self._refund(request), request)
        return _judged(
            reply,
            lambda answer: translate.refunded(answer, request, self._account.merchant_id),
        )

    async def query_refund(self, request: RefundRequest) -> RefundQueryOutcome:
        """POST /refund_query."""
        reply = await self._ask("refund_query", self._refund(request), request)
        return _judged(
            reply,
            lambda answer: translate.refund_queried(answer, request, self._account.merchant_id),
        )

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """JSON, signed over the raw body."""
        if len(body) > CALLBACK_BODY_BYTES_MAX:
            raise CallbackRefused("too_long")
        got = next(
            (value for name, value in headers.items() if name.lower() == signing.HEADER.lower()), ""
        )
        if not signing.is_signed(self._account.key, body, got):
            raise CallbackRefused("bad_signature")
        try:
            answer = documents.read(wire.Answer, body)
        except ValueError as failure:
            raise CallbackRefused("malformed") from failure
        return translate.notified(
            answer, self._account.merchant_id, body.decode()[:EVIDENCE_CHARS_MAX]
        )

    def callback_accepted(self) -> CallbackAnswer:
        """What ends the resending."""
        return CallbackAnswer(status=200, content_type="text/plain", body=b"ok")

    def callback_refused(self) -> CallbackAnswer:
        """Anything but `ok`."""
        return CallbackAnswer(status=400, content_type="text/plain", body=b"refused")

    async def _precreate(self, request: PayRequest) -> PayOutcome:
        body = wire.Precreate(
            merchant_id=self._account.merchant_id,
            out_trade_no=request.out_trade_no,
            amount=request.amount,
            expires_at_ms=int(request.not_after.timestamp()) * 1000,
            notify_url=request.notify_url or self._account.notify_url,
        )
        reply = await self._ask("precreate", body, request)
        return _judged(
            reply,
            lambda answer: translate.precreated(answer, request, self._account.merchant_id),
        )

    def _trade(self, trade: TradeRef) -> wire.Trade:
        return wire.Trade(merchant_id=self._account.merchant_id, out_trade_no=trade.out_trade_no)

    def _refund(self, request: RefundRequest) -> wire.Refund:
        return wire.Refund(
            merchant_id=self._account.merchant_id,
            out_trade_no=request.out_trade_no,
            out_refund_no=request.out_refund_no,
            amount=request.refund_amount,
            notify_url=request.notify_url or self._account.notify_url,
        )

    async def _ask(
        self, operation: str, said: msgspec.Struct, asked: PayRequest | TradeRef | RefundRequest
    ) -> Reply | NotSent | Unknown:
        """One signed request to the host `asked` names, and its verified answer."""
        body, path = msgspec.json.encode(said), f"/{operation}"
        headers = {
            "Content-Type": "application/json",
            signing.HEADER: signing.signature(
                self._account.key, signing.request_content(path, body)
            ),
        }
        url = self._account.base_urls[asked.host] + path
        call = HttpCall(
            method="POST",
            url=url,
            headers=headers,
            body=body,
            deadline=asked.deadline,
            operation=operation,
        )
        try:
            http = await self._transport.send(call)
        except NotSentError as failure:
            return NotSent(reason=failure.reason)
        except AnswerLostError as failure:
            return Unknown(reason=failure.reason)
        evidence = http.body.decode("utf-8", "replace")
        signature = http.headers.get(signing.HEADER, "")
        if not signature and 400 <= http.status < 500:  # noqa: PLR2004 - the class of refusals
            return Unknown(reason=REFUSED_UNSIGNED, evidence=evidence)
        if http.status != HTTP_OK:
            return Unknown(reason=f"http_{http.status}")
        if not signing.is_signed(self._account.key, http.body, signature):
            return Unknown(reason="bad_signature", evidence=evidence)
        try:
            return Reply(answer=documents.read(wire.Answer, http.body), evidence=evidence)
        except ValueError:
            return Unknown(reason="unreadable", evidence=evidence)


def _judged(
    reply: Reply | NotSent | Unknown, judge: Callable[[wire.Answer], _T]
) -> _T | NotSent | Unknown:
    """The outcome with its evidence."""
    if not isinstance(reply, Reply):
        return reply
    return replace(judge(reply.answer), evidence=reply.evidence)

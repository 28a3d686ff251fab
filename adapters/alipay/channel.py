"""One Alipay account as a `Channel`: build -> sign -> send -> verify -> translate, once a call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from adapters import documents
from adapters.alipay import codes, orders, translate, wire
from adapters.alipay.credentials import Credentials
from adapters.alipay.signing import UNSIGNED, Trust, open_answer, read_notify, request_content
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
from security.rsa_signing import RsaSigner

HTTP_OK: Final = 200
HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded;charset=utf-8",
    "Accept": "application/json",
}

_T = TypeVar("_T", PayOutcome, QueryOutcome, CancelOutcome, RefundOutcome, RefundQueryOutcome)


def build(credentials: Credentials, transport: ChannelTransport, clock: Clock) -> "AlipayChannel":
    """The channel of one account.

    Raises RsaKeyInvalid or ValueError for keys and certificates that cannot be read.
    """
    return AlipayChannel(credentials, transport, clock)


@dataclass(frozen=True, slots=True)
class Reply:
    """A verified answer and the words it came in."""

    answer: wire.Answer
    evidence: str


class AlipayChannel:
    """See `adapters.channel.Channel`.

    Holds no state but keys: any number of calls may run at once.
    """

    def __init__(self, credentials: Credentials, transport: ChannelTransport, clock: Clock) -> None:
        self._account = credentials
        self._urls = tuple(f"{url}?charset=utf-8" for url in credentials.gateway_urls)
        self._trust = Trust(credentials)
        self._signer = RsaSigner(credentials.app_private_key, transport.signing_executor)
        self._transport = transport
        self._clock = clock

    @property
    def hosts(self) -> int:
        """See `Channel`."""
        return len(self._urls)

    async def pay(self, request: PayRequest) -> PayOutcome:
        """alipay.trade.pay for a scanned code, alipay.trade.precreate for a QR code."""
        seller_id, presented = self._account.seller_id, request.presented
        notify_url = request.notify_url or self._account.notify_url
        if isinstance(presented, PaymentCode):
            biz = orders.pay_biz(request, presented.auth_code)
            reply = await self._ask(wire.PAY, biz, request, notify_url)
            return _judged(reply, lambda answer: translate.paid(answer, request, seller_id))
        reply = await self._ask(wire.PRECREATE, orders.precreate_biz(request), request, notify_url)
        return _judged(reply, lambda answer: translate.precreated(answer, request, seller_id))

    async def query(self, trade: TradeRef) -> QueryOutcome:
        """alipay.trade.query."""
        reply = await self._ask(wire.QUERY, wire.QueryBiz(out_trade_no=trade.out_trade_no), trade)
        return _judged(
            reply, lambda answer: translate.queried(answer, trade, self._account.seller_id)
        )

    async def cancel(self, trade: TradeRef) -> CancelOutcome:
        """alipay.trade.cancel, for both flows: it ends a QR code nobody scanned, closes a trade
        that waits, and gives back a paid one.

        alipay.trade.close would refuse the first and the last of these, and which it is we cannot
        know when we send.
        """
        reply = await self._ask(wire.CANCEL, wire.CancelBiz(out_trade_no=trade.out_trade_no), trade)
        return _judged(reply, lambda answer: translate.canceled(answer, trade))

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """alipay.trade.refund."""
        notify_url = request.notify_url or self._account.notify_url
        reply = await self._ask(wire.REFUND, orders.refund_biz(request), request, notify_url)
        return _judged(reply, lambda answer: translate.refunded(answer, request))

    async def query_refund(self, request: RefundRequest) -> RefundQueryOutcome:
        """alipay.trade.fastpay.refund.query."""
        biz = wire.RefundQueryBiz(
            out_trade_no=request.out_trade_no, out_request_no=request.out_refund_no
        )
        reply = await self._ask(wire.REFUND_QUERY, biz, request)
        return _judged(reply, lambda answer: translate.refund_queried(answer, request))

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """A trade_status_sync notify: a form, signed over its decoded parameters.

        The headers say nothing that counts.
        """
        del headers
        if len(body) > CALLBACK_BODY_BYTES_MAX:
            raise CallbackRefused("too_long")
        try:
            notify = read_notify(body)
        except ValueError as failure:
            raise CallbackRefused("malformed") from failure
        believed = self._trust.believed_notify(notify)
        if believed is None:
            raise CallbackRefused("bad_signature")
        evidence = body.decode("ascii")[:EVIDENCE_CHARS_MAX]
        return translate.notified(believed, self._account.app_id, self._account.seller_id, evidence)

    def callback_accepted(self) -> CallbackAnswer:
        """Exactly seven bytes; anything else is a refusal to Alipay."""
        return CallbackAnswer(status=200, content_type="text/plain", body=b"success")

    def callback_refused(self) -> CallbackAnswer:
        """Alipay sends again: after 4, 10 and 10 minutes, 1, 2, 6 and 15 hours."""
        return CallbackAnswer(status=400, content_type="text/plain", body=b"failure")

    async def _ask(
        self,
        method: str,
        biz: msgspec.Struct,
        asked: PayRequest | TradeRef | RefundRequest,
        notify_url: str | None = None,
    ) -> Reply | NotSent | Unknown:
        """One signed request to the host `asked` names, and its verified answer."""
        body = await self._signed_form(method, biz, notify_url)
        call = HttpCall(
            method="POST",
            url=self._urls[asked.host],
            headers=HEADERS,
            body=body,
            deadline=asked.deadline,
            operation=method,
        )
        try:
            http = await self._transport.send(call)
        except NotSentError as failure:
            return NotSent(reason=failure.reason)
        except AnswerLostError as failure:
            return Unknown(reason=failure.reason)
        if http.status != HTTP_OK:
            return Unknown(reason=f"http_{http.status}")
        return self._believed(method, http.body)

    async def _signed_form(self, method: str, biz: msgspec.Struct, notify_url: str | None) -> bytes:
        params = {
            "app_id": self._account.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": wire.china_time(self._clock.now()),
            "version": "1.0",
            **self._trust.request_params,
            **({"notify_url": notify_url} if notify_url else {}),
            "biz_content": msgspec.json.encode(biz).decode(),
        }
        params["sign"] = await self._signer.sign(request_content(params))
        return urlencode(params).encode("ascii")

    def _believed(self, method: str, body: bytes) -> Reply | Unknown:
        """Only an answer whose signature is right is a `Reply`; the words of any other are kept for
        people.
        """
        evidence = body.decode("utf-8", "replace")
        try:
            signed = open_answer(body, method)
            doubt = self._trust.doubt_answer(signed)
            if doubt is not None and doubt != UNSIGNED:
                return Unknown(reason=doubt, evidence=evidence)
            answer = documents.read(wire.Answer, signed.content)
        except ValueError:  # of the scanner, or of the document
            return Unknown(reason="unreadable", evidence=evidence)
        if doubt is None:
            return Reply(answer=answer, evidence=evidence)
        is_refusal = answer.code != codes.DONE
        return Unknown(reason=REFUSED_UNSIGNED if is_refusal else UNSIGNED, evidence=evidence)


def _judged(
    reply: Reply | NotSent | Unknown, judge: Callable[[wire.Answer], _T]
) -> _T | NotSent | Unknown:
    """The outcome with its evidence."""
    if not isinstance(reply, Reply):
        return reply
    return replace(judge(reply.answer), evidence=reply.evidence)

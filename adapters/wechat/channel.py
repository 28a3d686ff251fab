"""WeChat Pay v3 for one channel account:
build → sign → send → verify → translate, one request a call.

An answer is verified before a byte of it is read. Unsigned, badly signed or stale ones are
`Unknown`, a 401 of the channel's own gate included: what cannot be checked is no proof, not even of
"no".
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar, final
from urllib.parse import quote, urlsplit

from adapters.channel import (
    REFUSED_UNSIGNED,
    Callback,
    CallbackAnswer,
    CallbackRefused,
    Flow,
    PayRequest,
    RefundRequest,
    TradeRef,
)
from adapters.transport import AnswerLostError, ChannelTransport, HttpCall, NotSentError
from adapters.wechat import callback, orders, signing, translate
from adapters.wechat.credentials import Credentials
from adapters.wechat.orders import Merchant
from adapters.wechat.translate import Reply
from gateway.clock import Clock, Ids, SystemIds
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

_Outcome = TypeVar("_Outcome", bound=QueryOutcome | CancelOutcome | RefundQueryOutcome)


@final
class WechatChannel:
    """`adapters.channel.Channel` for WeChat Pay.

    Raises ValueError or RsaKeyInvalid when the keys cannot work.
    """

    def __init__(
        self,
        credentials: Credentials,
        transport: ChannelTransport,
        clock: Clock,
        ids: Ids | None = None,
    ) -> None:
        self._credentials: Final = credentials
        self._merchant: Final = Merchant(appid=credentials.appid, mchid=credentials.mchid)
        self._transport: Final = transport
        self._clock: Final = clock
        self._ids: Final = ids or SystemIds()
        self._keys: Final = signing.platform_keys(
            credentials.platform_keys, credentials.platform_certificates
        )
        self._signer: Final = RsaSigner(
            credentials.merchant_private_key, transport.signing_executor
        )
        self._places: Final = tuple(_place(url) for url in credentials.base_urls)

    @property
    def hosts(self) -> int:
        """See `Channel`."""
        return len(self._places)

    async def pay(self, request: PayRequest) -> PayOutcome:
        """See `Channel`. codepay for a scanned code, native for a QR order.

        Signed with the time the pay was recorded as sent: the channel's 300 s window, after which a
        barcode payment can no longer act, then counts from the very moment our own `not_after`
        counts from.
        """
        presented = request.presented
        if isinstance(presented, PaymentCode):
            order, call = (
                orders.codepay_order(self._merchant, request, presented.auth_code),
                "codepay",
            )
        else:
            notify_url = request.notify_url or self._credentials.notify_url
            order, call = orders.native_order(self._merchant, request, notify_url), "native"
        reply = await self._ask(
            call, "POST", f"/v3/pay/transactions/{call}", order, request, signed_at=request.sent_at
        )
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.pay_outcome(self._merchant, request, reply), reply)

    async def query(self, trade: TradeRef) -> QueryOutcome:
        """See `Channel`."""
        path = f"{_trade_path(trade)}?mchid={quote(self._merchant.mchid, safe='')}"
        reply = await self._ask("query", "GET", path, b"", trade)
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.query_outcome(self._merchant, trade, reply), reply)

    async def cancel(self, trade: TradeRef) -> CancelOutcome:
        """See `Channel`. A barcode payment can only be reversed, a QR order only be closed."""
        if trade.flow is Flow.CODE:
            return await self._reverse(trade)
        return await self._close(trade)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """See `Channel`."""
        body = orders.refund_order(request, request.notify_url or self._credentials.notify_url)
        reply = await self._ask("refund", "POST", "/v3/refund/domestic/refunds", body, request)
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.refund_outcome(request, reply), reply)

    async def query_refund(self, request: RefundRequest) -> RefundQueryOutcome:
        """See `Channel`."""
        path = f"/v3/refund/domestic/refunds/{quote(request.out_refund_no, safe='')}"
        reply = await self._ask("refund_query", "GET", path, b"", request)
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.refund_query_outcome(request, reply), reply)

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Callback:
        """See `Channel`. Refusals: those of `signing.doubt` and `callback.read`, and `too_long`."""
        if len(body) > CALLBACK_BODY_BYTES_MAX:
            raise CallbackRefused("too_long")
        doubt = signing.doubt(self._keys, headers, body, self._clock.now())
        if doubt is not None:
            raise CallbackRefused(doubt)
        found, content = callback.read(self._merchant, self._credentials.api_v3_key.reveal(), body)
        evidence = _evidence(content)
        return replace(
            found,
            learned=replace(found.learned, evidence=evidence)
            if found.learned is not None
            else None,
            refund=replace(found.refund, evidence=evidence) if found.refund is not None else None,
        )

    def callback_accepted(self) -> CallbackAnswer:
        """See `Channel`."""
        return CallbackAnswer(status=204, content_type="application/json", body=b"")

    def callback_refused(self) -> CallbackAnswer:
        """See `Channel`. The same words for every reason: a forger learns nothing."""
        return CallbackAnswer(
            status=401, content_type="application/json", body=b'{"code":"FAIL","message":"refused"}'
        )

    async def _reverse(self, trade: TradeRef) -> CancelOutcome:
        body = orders.reverse_order(self._merchant)
        reply = await self._ask("reverse", "POST", f"{_trade_path(trade)}/reverse", body, trade)
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.reverse_outcome(self._merchant, trade, reply), reply)

    async def _close(self, trade: TradeRef) -> CancelOutcome:
        body = orders.close_order(self._merchant)
        reply = await self._ask("close", "POST", f"{_trade_path(trade)}/close", body, trade)
        if not isinstance(reply, Reply):
            return reply
        return _told(translate.close_outcome(reply), reply)

    async def _ask(
        self,
        operation: str,
        method: str,
        path: str,
        body: bytes,
        asked: PayRequest | TradeRef | RefundRequest,
        *,
        signed_at: datetime | None = None,
    ) -> Reply | NotSent | Unknown:
        """One signed request to the host `asked` names, and its verified answer.

        `path` carries its query.
        """
        origin, prefix = self._places[asked.host]
        path = prefix + path
        headers = await self._headers(
            method, path, body, int((signed_at or self._clock.now()).timestamp())
        )
        call = HttpCall(
            method=method,
            url=origin + path,
            headers=headers,
            body=body,
            deadline=asked.deadline,
            operation=operation,
        )
        try:
            answer = await self._transport.send(call)
        except NotSentError as error:
            return NotSent(reason=error.reason)
        except AnswerLostError as error:
            return Unknown(reason=error.reason)
        doubt = signing.doubt(self._keys, answer.headers, answer.body, self._clock.now())
        if doubt is None:
            return Reply(status=answer.status, body=answer.body)
        if doubt == signing.UNSIGNED and 400 <= answer.status < 500:  # noqa: PLR2004 - refusals
            said = answer.body.decode("utf-8", "replace")
            return Unknown(
                reason=REFUSED_UNSIGNED, evidence=f"HTTP {answer.status}, unsigned: {said}"
            )
        return Unknown(reason=doubt, evidence=f"HTTP {answer.status}")

    async def _headers(self, method: str, path: str, body: bytes, timestamp: int) -> dict[str, str]:
        nonce = self._ids.token()
        signature = await self._signer.sign(
            signing.request_message(method, path, timestamp, nonce, body)
        )
        headers = {
            "Accept": "application/json",
            "User-Agent": "Tillgate",
            "Authorization": signing.authorization(
                mchid=self._merchant.mchid,
                serial=self._credentials.merchant_serial,
                timestamp=timestamp,
                nonce=nonce,
                signature=signature,
            ),
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self._credentials.mode == "public_key":
            headers["Wechatpay-Serial"] = next(iter(self._credentials.platform_keys))
        return headers


def build(credentials: Credentials, transport: ChannelTransport, clock: Clock) -> WechatChannel:
    """The channel of one account. Raises ValueError or RsaKeyInvalid when the keys cannot work."""
    return WechatChannel(credentials, transport, clock)


def _place(base_url: str) -> tuple[str, str]:
    """Origin and path prefix: the signature covers the path, and not the host."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


def _trade_path(trade: TradeRef) -> str:
    return f"/v3/pay/transactions/out-trade-no/{quote(trade.out_trade_no, safe='')}"


def _told(outcome: _Outcome, reply: Reply) -> _Outcome:
    """The outcome with its evidence."""
    said = reply.body.decode("utf-8", "replace")
    return replace(outcome, evidence=f"HTTP {reply.status} {said}")


def _evidence(words: bytes) -> str:
    """A callback's own signed words, bounded. Postgres stores no NUL."""
    return (
        words[: EVIDENCE_CHARS_MAX * 4]
        .decode("utf-8", "replace")
        .replace("\x00", "")[:EVIDENCE_CHARS_MAX]
    )

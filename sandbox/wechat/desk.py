"""One merchant's API v3 host: verifies over the raw bytes, answers 401 SIGN_ERROR otherwise, signs
every other answer.

The authentication layer's refusals carry no signature, as the real ones may not: nobody can be sure
whom they are for.
"""

import collections
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox import certificates, keys, limits
from sandbox.book import PENDING, Trade
from sandbox.channel import Account, Flaw, Lie, Notice, RawRequest, Reply, Sealed
from sandbox.surroundings import CHINA
from sandbox.wechat import notices, wire
from sandbox.wechat.calls import WeChatCall, malformed
from sandbox.wechat.following import Close, Query, Reverse
from sandbox.wechat.paying import CodePay, Native
from sandbox.wechat.refunding import Refund, RefundQuery
from sandbox.wechat.settings import World

_STALE_SECONDS: Final = 3_600
_CERTIFICATES_PATH: Final = "/v3/certificates"
_ROUTES: Final[list[tuple[str, re.Pattern[str], type[WeChatCall]]]] = [
    ("POST", re.compile(r"\A/v3/pay/transactions/codepay\Z"), CodePay),
    ("POST", re.compile(r"\A/v3/pay/transactions/native\Z"), Native),
    ("GET", re.compile(r"\A/v3/pay/transactions/out-trade-no/(?P<out_trade_no>[^/]+)\Z"), Query),
    ("GET", re.compile(r"\A/v3/pay/transactions/id/(?P<transaction_id>[^/]+)\Z"), Query),
    (
        "POST",
        re.compile(r"\A/v3/pay/transactions/out-trade-no/(?P<out_trade_no>[^/]+)/reverse\Z"),
        Reverse,
    ),
    (
        "POST",
        re.compile(r"\A/v3/pay/transactions/out-trade-no/(?P<out_trade_no>[^/]+)/close\Z"),
        Close,
    ),
    ("POST", re.compile(r"\A/v3/refund/domestic/refunds\Z"), Refund),
    ("GET", re.compile(r"\A/v3/refund/domestic/refunds/(?P<out_refund_no>[^/]+)\Z"), RefundQuery),
]


class WeChatDesk:
    """Answers for one merchant number."""

    def __init__(
        self, account: Account, surroundings: World, add_key: Callable[[], Awaitable[None]]
    ) -> None:
        self.account = account
        self.world = surroundings
        self._add_key = add_key
        self._merchant = keys.load_public(account.kept["merchant_public_key"])
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self._nonces: collections.OrderedDict[str, float] = collections.OrderedDict()

    def accept(self, request: RawRequest) -> WeChatCall | Reply:
        """Authorization first, then the route, then the body."""
        refusal, timestamp = self._refusal(request)
        if refusal is not None:
            return refusal
        path, _, query = request.target.partition("?")
        if path == _CERTIFICATES_PATH and request.method == "GET":
            return self._certificates()
        for method, pattern, call in _ROUTES:
            match = pattern.match(path)
            if match and method == request.method:
                return self._call(call, request, match.groupdict(), query, timestamp)
        return Reply(404, {"code": "RESOURCE_NOT_EXISTS", "message": "请求的接口不存在"})

    async def seal(self, reply: Reply, flaw: Flaw, request: RawRequest) -> Sealed:
        """Signed over the raw bytes of the body that goes out, with the public key that the request
        names, else with the account's own.
        """
        body = b"" if reply.document is None else wire.json_bytes(reply.document)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Request-ID": secrets.token_hex(16).upper(),
        }
        if reply.signed:
            headers |= await self._signature(body, flaw, self._serial_for(request))
        return Sealed(headers, body, reply.status)

    def lie(self, reply: Reply, lie: Lie) -> bool:
        """Another amount (one fen more) or another order number in the answer."""
        document = reply.document or {}
        if lie is Lie.ORDER and "out_trade_no" in document:
            document["out_trade_no"] = notices.other_number(document["out_trade_no"])
            return True
        amounts = document.get("amount")
        if lie is not Lie.AMOUNT or not isinstance(amounts, dict):
            return False
        for name in ("total", "payer_total", "refund", "payer_refund"):
            if name in amounts:
                amounts[name] += 1
        return True

    async def notify(self, notice: Notice, flaw: Flaw, lie: Lie) -> Sealed:
        """An encrypted event, signed for this sending."""
        event = notices.event(
            notice,
            self.account,
            self.world,
            lie,
            unheard_of=flaw is not Flaw.NONE or lie is not Lie.NONE,
        )
        body = wire.json_bytes(event)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "Mozilla/4.0",
        }
        serial = self.account.kept["platform_serial"]
        return Sealed(headers | await self._signature(body, flaw, serial), body)

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """200 or 204; the body does not matter."""
        del body
        return status in {200, 204}

    def customer_pays(self, trade: Trade, *, only_scan: bool) -> str | None:
        """The payer confirms a native order or types the password of a barcode one."""
        acts = self.world.acts
        trade = acts.find(trade.out_trade_no) or trade
        if trade.state != PENDING:
            return f"the trade is {trade.state}: nothing waits for a payer"
        if only_scan:
            return "scanning changes nothing here: a native order exists from the start"
        acts.charge(trade.out_trade_no, trade.amount)
        return None

    async def rotate_key(self) -> None:
        """Answers and callbacks carry a new serial; certificate mode finds it at /v3/certificates,
        key mode at the console.
        """
        await self._add_key()
        await self.world.save()

    def is_stale(self, timestamp: str) -> bool:
        """Whether a request's timestamp is outside the window by now."""
        window_ms = wire.TIMESTAMP_SECONDS_MAX * limits.PROFILE_SCALE[self.account.profile] * 1000
        return abs(self.world.now_ms() - int(timestamp) * 1000) > window_ms

    def _serial_for(self, request: RawRequest) -> str:
        """An old key, a strange one or none is answered with the account's own."""
        kept = self.account.kept
        asked = request.headers.get("wechatpay-serial")
        own: str = kept["platform_serial"]
        return asked if asked and asked == kept.get("public_key_id") else own

    def _key(self, serial: str) -> rsa.RSAPrivateKey:
        """Loaded once: reading a PEM takes longer than a signature."""
        if serial not in self._keys:
            pem = self.account.kept["platform_private_keys"][serial]
            self._keys[serial] = keys.load_private(pem)
        return self._keys[serial]

    def _refusal(self, request: RawRequest) -> tuple[Reply | None, str]:
        headers, kept = request.headers, self.account.kept
        if "application/json" not in headers.get("accept", "") and "*/*" not in headers.get(
            "accept", ""
        ):
            return _unsigned(400, "PARAM_ERROR", "Http头缺少Accept或值不是application/json"), ""
        if not headers.get("user-agent"):
            return _unsigned(400, "PARAM_ERROR", "Http头缺少User-Agent"), ""
        try:
            fields = wire.parse_authorization(headers.get("authorization", ""))
        except wire.WireError as error:
            return _unsigned(401, "SIGN_ERROR", str(error)), ""
        timestamp = fields["timestamp"]
        message = wire.request_message(
            request.method, request.target, timestamp, fields["nonce_str"], request.body
        )
        checks = [
            (fields["mchid"] == kept["mchid"], "商户号不存在"),
            (fields["serial_no"].upper() == kept["merchant_serial"], "商户证书序列号有误"),
            (
                not self.is_stale(timestamp),
                "Http头Authorization中的timestamp与发起请求的时间不得超过限定时间",
            ),
            (keys.is_signed_by(self._merchant, message, fields["signature"]), "签名错误，验签失败"),
            (self._is_fresh(fields["nonce_str"]), "nonce_str重复，请求被重放"),
        ]
        for is_right, text in checks:
            if not is_right:
                return _unsigned(401, "SIGN_ERROR", text), ""
        needs_header = (
            self.world.settings.serial_header_is_required and self.account.mode == "public_key"
        )
        if needs_header and headers.get("wechatpay-serial") not in kept["platform_keys"]:
            return _unsigned(
                400, "PARAM_ERROR", "Http头Wechatpay-Serial不是本商户的微信支付公钥ID"
            ), ""
        return None, timestamp

    def _is_fresh(self, nonce: str) -> bool:
        """A nonce works once; it is forgotten when its timestamp could no longer pass."""
        now = self.world.now_ms() / 1000
        while self._nonces and next(iter(self._nonces.values())) < now:
            self._nonces.popitem(last=False)
        if not nonce or nonce in self._nonces:
            return False
        self._nonces[nonce] = now + 2 * wire.TIMESTAMP_SECONDS_MAX
        return True

    def _call(
        self,
        call: type[WeChatCall],
        request: RawRequest,
        names: dict[str, Any],
        query: str,
        timestamp: str,
    ) -> WeChatCall | Reply:
        try:
            body = json.loads(request.body) if request.method == "POST" else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return malformed("请求体不是JSON对象", self.world)
        if not self.world.settings.four_byte_characters_are_taken and wire.has_four_bytes(body):
            return malformed("参数仅支持1到3字节的UTF-8字符", self.world)
        if request.method == "GET":
            body = {name: values[0] for name, values in parse_qs(query).items()}
        body |= {name: unquote(value) for name, value in names.items()}
        return call(self.account, self.world, body, lambda: self.is_stale(timestamp))

    def _certificates(self) -> Reply:
        kept = self.account.kept
        if self.account.mode == "public_key":
            return Reply(
                404,
                {"code": "RESOURCE_NOT_EXISTS", "message": "无可用的平台证书，请使用微信支付公钥"},
            )
        return Reply(
            200,
            {
                "data": [
                    _published(pem, kept["api_v3_key"])
                    for pem in kept["platform_certificates"].values()
                ]
            },
        )

    async def _signature(self, body: bytes, flaw: Flaw, serial: str) -> dict[str, str]:
        timestamp = str(
            self.world.now_ms() // 1000 - (_STALE_SECONDS if flaw is Flaw.STALE_TIMESTAMP else 0)
        )
        nonce = secrets.token_hex(16)
        signer = await keys.foreign_key() if flaw is Flaw.FOREIGN_KEY else self._key(serial)
        signature = await keys.sign(signer, wire.answer_message(timestamp, nonce, body))
        if flaw is Flaw.SIGNTEST:
            signature = "WECHATPAY/SIGNTEST/" + signature[19:]
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": signature,
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature-Type": wire.SCHEMA,
        }


def _published(pem: str, api_v3_key: str) -> dict[str, Any]:
    certificate = certificates.load(pem)
    return {
        "serial_no": certificates.serial_hex(certificate),
        "effective_time": wire.time_text(certificate.not_valid_before_utc.astimezone(CHINA)),
        "expire_time": wire.time_text(certificate.not_valid_after_utc.astimezone(CHINA)),
        "encrypt_certificate": wire.encrypt(api_v3_key, pem.encode(), "certificate"),
    }


def _unsigned(status: int, code: str, text: str) -> Reply:
    return Reply(status, {"code": code, "message": text}, signed=False)

"""One Alipay app's gateway: verifies over the raw form, refuses in the gateway's own words, signs
the exact inner bytes.

A gateway-level refusal is HTTP 200 with a code 4000x, signed as soon as the app is known. A
business refusal is signed, with code 40004.
"""

import base64
import json
from typing import Any, Final

from sandbox import certificates, keys
from sandbox.alipay import notices, wire
from sandbox.alipay.calls import AlipayCall
from sandbox.alipay.methods import CALLS
from sandbox.alipay.settings import World
from sandbox.book import PENDING, Trade
from sandbox.channel import Account, Flaw, Lie, Notice, RawRequest, Reply, Sealed
from sandbox.surroundings import CHINA

_HEADERS: Final = {"Content-Type": "text/html;charset=utf-8"}
_CERTIFICATE_METHOD: Final = "alipay.open.app.alipaycert.download"
_REQUIRED: Final = ("method", "app_id", "sign", "sign_type", "timestamp", "version")
_MESSAGES: Final = {"40001": "Missing Required Arguments", "40002": "Invalid Arguments"}
_MISSING: Final = {
    "sign": "isv.missing-signature",
    "sign_type": "isv.missing-signature-type",
    "app_id": "isv.missing-app-id",
}


class AlipayDesk:
    """Answers for one app."""

    def __init__(self, account: Account, surroundings: World) -> None:
        self.account = account
        self.world = surroundings
        self._merchant = keys.load_public(account.kept["merchant_public_key"])
        self._platform = keys.load_private(account.kept["platform_private_key"])

    def accept(self, request: RawRequest) -> AlipayCall | Reply:
        """Form or query string → a verified call, or the refusal."""
        path, _, query = request.target.partition("?")
        if path != "/gateway.do" or request.method not in {"POST", "GET"}:
            return Reply(404, {"code": "40002", "msg": "Invalid Arguments"}, signed=False)
        try:
            parameters = wire.parse_form(query, request.body.decode())
        except (wire.WireError, UnicodeDecodeError) as error:
            return self._gateway_refusal({}, "40002", "isv.invalid-parameter", str(error))
        refusal = self._refusal(parameters)
        if refusal is not None:
            return refusal
        return self._call(parameters)

    def refused_by_age(self, timestamp: str) -> bool:
        """Whether a request's `timestamp` is outside the window by now."""
        try:
            age_ms = abs(self.world.now_ms() - wire.epoch_ms(timestamp, CHINA))
        except wire.WireError:
            return True
        return age_ms > wire.TIMESTAMP_SECONDS_MAX * 1000

    async def seal(self, reply: Reply, flaw: Flaw, request: RawRequest) -> Sealed:
        """The envelope. Signed over the inner object's bytes as they stand in it."""
        del request  # there is one key
        inner = wire.inner_text(reply.document or {})
        key = wire.response_key(reply.method)
        if not reply.signed:
            return Sealed(_HEADERS, f'{{"{key}":{inner}}}'.encode(), reply.status)
        number = self.account.kept.get("alipay_cert_sn")
        signer = self._platform if flaw is not Flaw.FOREIGN_KEY else await keys.foreign_key()
        signature = await keys.sign(signer, inner.encode())
        if self.world.settings.signature_is_escaped:
            signature = signature.replace("/", "\\/")
        middle = f'"alipay_cert_sn":"{number}",' if number else ""
        return Sealed(
            _HEADERS, f'{{"{key}":{inner},{middle}"sign":"{signature}"}}'.encode(), reply.status
        )

    def lie(self, reply: Reply, lie: Lie) -> bool:
        """Another amount (one fen more) or another order number in the answer."""
        document = reply.document or {}
        if lie is Lie.ORDER:
            if "out_trade_no" not in document:
                return False
            document["out_trade_no"] = notices.other_number(document["out_trade_no"])
            return True
        names = [
            name
            for name in (
                "total_amount",
                "receipt_amount",
                "buyer_pay_amount",
                "refund_fee",
                "refund_amount",
            )
            if document.get(name, "0.00") != "0.00"
        ]
        for name in names:
            document[name] = wire.yuan(wire.fen(document[name]) + 1)
        return bool(names)

    async def notify(self, notice: Notice, flaw: Flaw, lie: Lie) -> Sealed:
        """The form of a trade_status_sync, signed for this sending."""
        fields = notices.fields(
            notice, self.account, self.world, lie, stale=flaw is Flaw.STALE_TIMESTAMP
        )
        signer = self._platform if flaw is not Flaw.FOREIGN_KEY else await keys.foreign_key()
        signed = wire.notify_string(notices.signed_fields(fields, self.world))
        return notices.form(fields, await keys.sign(signer, signed))

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """Exactly `success`, unless the setting takes it in any case."""
        said = body.lower() if self.world.settings.acknowledged_in_any_case else body
        return status == 200 and said == b"success"  # noqa: PLR2004 - HTTP

    def customer_pays(self, trade: Trade, *, only_scan: bool) -> str | None:
        """Scanning a shown QR makes the trade; paying charges it."""
        acts = self.world.acts
        trade = acts.find(trade.out_trade_no) or trade
        if trade.state != PENDING:
            return f"the trade is {trade.state}: nothing waits for a payer"
        terms: dict[str, Any] = {} if trade.exists else notices.new_trade(self.world)
        if only_scan:
            if trade.exists:
                return "the customer is past scanning: the trade waits for the password"
            acts.open(trade.out_trade_no, trade.amount, **terms)
        else:
            acts.charge(trade.out_trade_no, trade.amount, **terms)
        return None

    async def rotate_key(self) -> None:
        """A new key; in certificate mode with a certificate that alipaycert.download gives out."""
        self._platform = await keys.new_key()
        kept = self.account.kept
        kept["platform_private_key"] = keys.private_pem(self._platform)
        kept["alipay_public_key"] = keys.bare(keys.public_pem(self._platform.public_key()))
        if self.account.mode == "certificate":
            issuer = certificates.load(kept["issuer_certificate"]).subject
            authority = keys.load_private(kept["authority_private_key"])
            fresh = certificates.issue(
                certificates.name("Alipay Sandbox", "Alipay"),
                self._platform.public_key(),
                issuer,
                authority,
            )
            kept["alipay_cert_sn"], kept["alipay_certificate"] = (
                wire.certificate_number(fresh),
                certificates.pem(fresh),
            )
            kept["alipay_certificates"][kept["alipay_cert_sn"]] = kept["alipay_certificate"]
        await self.world.save()

    def _refusal(self, parameters: dict[str, str]) -> Reply | None:
        """The gateway's own checks, in its order: method and app, what else must be there, the kind
        of signature, certificates, signature, time, method.
        """
        method = parameters.get("method", "")
        for name in _REQUIRED:
            if not parameters.get(name):
                return self._gateway_refusal(
                    parameters,
                    "40001",
                    _MISSING.get(name, f"isv.missing-{name}"),
                    f"缺少参数 {name}",
                )
            if name == "app_id" and not self._is_app_known(parameters):
                return self._gateway_refusal(
                    parameters, "40002", "isv.invalid-app-id", "无效的AppID参数"
                )
        checks = [
            (
                parameters["sign_type"] == "RSA2",
                "isv.invalid-signature-type",
                "无效的签名类型: 需要 RSA2",
            ),
            (
                parameters.get("charset", "").lower() == "utf-8",
                "isv.invalid-charset",
                "字符集错误: 需要 utf-8",
            ),
            (
                parameters.get("format", "JSON").upper() == "JSON",
                "isv.invalid-format",
                "无效的数据格式: 需要 JSON",
            ),
            (parameters["version"] == "1.0", "isv.invalid-parameter", "无效的接口版本"),
            (
                self._are_certificates_right(parameters),
                "isv.missing-signature-config",
                "证书序列号 app_cert_sn 或 alipay_root_cert_sn 不正确",
            ),
            (
                keys.is_signed_by(
                    self._merchant, wire.request_string(parameters), parameters["sign"]
                ),
                "isv.invalid-signature",
                "无效签名",
            ),
            (
                not self.refused_by_age(parameters["timestamp"]),
                "isv.invalid-timestamp",
                "非法的时间戳参数: 需要北京时间 yyyy-MM-dd HH:mm:ss",
            ),
            (
                method in CALLS or method == _CERTIFICATE_METHOD,
                "isv.invalid-method",
                "不存在的方法名",
            ),
        ]
        for is_right, sub_code, text in checks:
            if not is_right:
                return self._gateway_refusal(parameters, "40002", sub_code, text)
        return None

    def _is_app_known(self, parameters: dict[str, str]) -> bool:
        ours: str = self.account.kept["app_id"]
        return parameters.get("app_id") == ours

    def _gateway_refusal(
        self, parameters: dict[str, str], code: str, sub_code: str, text: str
    ) -> Reply:
        """Signed once the gateway knows the method and the app: before that it has no key."""
        method = parameters.get("method", "")
        signed = bool(method) and self._is_app_known(parameters)
        return Reply(
            200,
            {"code": code, "msg": _MESSAGES[code], "sub_code": sub_code, "sub_msg": text},
            signed=signed and self.world.settings.gateway_refusals_are_signed,
            method=method,
        )

    def _are_certificates_right(self, parameters: dict[str, str]) -> bool:
        kept = self.account.kept
        if self.account.mode != "certificate":
            return "app_cert_sn" not in parameters
        numbers = (parameters.get("app_cert_sn"), parameters.get("alipay_root_cert_sn"))
        return numbers == (kept["app_cert_sn"], kept["root_cert_sn"])

    def _call(self, parameters: dict[str, str]) -> AlipayCall | Reply:
        method = parameters["method"]
        try:
            biz = json.loads(parameters.get("biz_content") or "{}", parse_float=str, parse_int=str)
        except ValueError:
            biz = None
        if not isinstance(biz, dict):
            return self._gateway_refusal(
                parameters, "40002", "isv.invalid-parameter", "biz_content 不是 JSON 对象"
            )
        if method == _CERTIFICATE_METHOD:
            return self._certificate(biz)
        timestamp = parameters["timestamp"]
        return CALLS[method](self.world, parameters, biz, lambda: self.refused_by_age(timestamp))

    def _certificate(self, biz: dict[str, Any]) -> Reply:
        text = self.account.kept.get("alipay_certificates", {}).get(biz.get("alipay_cert_sn"))
        if text is None:
            document = {
                "code": "40004",
                "msg": "Business Failed",
                "sub_code": "CERT_NOT_EXIST",
                "sub_msg": "证书不存在",
            }
        else:
            document = {
                "code": "10000",
                "msg": "Success",
                "alipay_cert_content": base64.b64encode(text.encode()).decode(),
            }
        return Reply(200, document, method=_CERTIFICATE_METHOD)

"""Merchants that talk to the sandbox with the public SDKs' own signing and verifying, over a socket
the test can watch.

The SDKs sign and verify; only the sending is ours, because their blocking HTTP hides how a
connection ended.
"""

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from alipay import AliPay, DCAliPay
from cryptography import x509
from wechatpayv3 import WeChatPay, WeChatPayType, core, utils

CHINA = dt.timezone(dt.timedelta(hours=8))
LOST = "lost"


@dataclass(frozen=True)
class Answer:
    """What a call brought: `said` is one word for tables,
    `genuine` whether the SDK accepts the signature.
    """

    said: str
    status: int = 0
    document: dict[str, Any] | None = None
    genuine: bool = False
    serial: str = ""  # of the key that signed it, as WeChat Pay names it
    raw: str = ""  # the body as it came

    def __getitem__(self, name: str) -> Any:
        assert self.document is not None
        return self.document[name]


class _ChinaTime:
    """The SDK stamps requests with the machine's local time; the protocol wants China's."""

    def build_body(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        body = super().build_body(*args, **kwargs)  # type: ignore[misc]
        if "timestamp" not in kwargs:
            body["timestamp"] = dt.datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S")
        return body


class KeySdk(_ChinaTime, AliPay):  # type: ignore[misc]
    """python-alipay-sdk in public-key mode."""


class CertificateSdk(_ChinaTime, DCAliPay):  # type: ignore[misc]
    """python-alipay-sdk in certificate mode."""


def armoured(bare: str, kind: str) -> str:
    """The console hands out bare base64; this SDK wants PEM."""
    lines = "\n".join(bare[at : at + 64] for at in range(0, len(bare), 64))
    return f"-----BEGIN {kind} KEY-----\n{lines}\n-----END {kind} KEY-----"


def alipay_sdk(credentials: dict[str, Any]) -> Any:
    keys = credentials | {"app_private_key": armoured(credentials["app_private_key"], "PRIVATE")}
    if keys["mode"] == "certificate":
        certificates = (
            keys["app_certificate"],
            keys["alipay_certificate"],
            keys["alipay_root_certificate"],
        )
        sdk = CertificateSdk(keys["app_id"], keys["app_private_key"], *certificates)
    else:
        sdk = KeySdk(
            keys["app_id"],
            None,
            keys["app_private_key"],
            armoured(keys["alipay_public_key"], "PUBLIC"),
        )
    sdk._gateway = keys["gateway_url"]
    return sdk


class AlipayMerchant:
    channel = "alipay"
    cancel_operation = "cancel"
    code_prefix = "28"

    def __init__(self, session: aiohttp.ClientSession, credentials: dict[str, Any]) -> None:
        self.session, self.credentials = session, credentials
        self.sdk = alipay_sdk(credentials)
        self.notify_url: str | None = None

    async def pay(self, number: str, code: str, fen: int = 100, **extra: Any) -> Answer:
        biz = {
            "out_trade_no": number,
            "scene": "bar_code",
            "auth_code": code,
            "subject": "tea",
            "total_amount": yuan(fen),
        }
        return await self.call("alipay.trade.pay", biz | extra)

    async def precreate(self, number: str, fen: int = 100) -> Answer:
        return await self.call(
            "alipay.trade.precreate",
            {"out_trade_no": number, "subject": "tea", "total_amount": yuan(fen)},
        )

    async def query(self, number: str) -> Answer:
        return await self.call("alipay.trade.query", {"out_trade_no": number})

    async def cancel(self, number: str) -> Answer:
        return await self.call("alipay.trade.cancel", {"out_trade_no": number})

    async def close(self, number: str) -> Answer:
        return await self.call("alipay.trade.close", {"out_trade_no": number})

    async def refund(self, number: str, refund_no: str, fen: int, total: int = 100) -> Answer:
        del total
        return await self.call(
            "alipay.trade.refund",
            {"out_trade_no": number, "out_request_no": refund_no, "refund_amount": yuan(fen)},
        )

    async def refund_query(self, number: str, refund_no: str) -> Answer:
        return await self.call(
            "alipay.trade.fastpay.refund.query",
            {"out_trade_no": number, "out_request_no": refund_no},
        )

    async def call(
        self, method: str, biz: dict[str, Any], *, tamper: str = "", **parameters: Any
    ) -> Answer:
        extra = {"notify_url": self.notify_url} if self.notify_url else {}
        body = self.sdk.sign_data(self.sdk.build_body(method, biz, **(extra | parameters)))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            async with self.session.post(
                self.credentials["gateway_url"], data=body + tamper, headers=headers
            ) as answer:
                status, text = answer.status, (await answer.read()).decode()
        except aiohttp.ClientError:
            return Answer(LOST)
        if status != 200:
            return Answer(f"http_{status}", status)
        envelope = json.loads(text)
        document = next(iter(envelope.values()))
        genuine = "sign" in envelope and self.sdk._verify(
            _inner(self.sdk, text, method), envelope["sign"]
        )
        return Answer(self._word(document), status, document, genuine, raw=text)

    @staticmethod
    def amount_of(answer: Answer) -> int:
        document = answer.document or {}
        text = document.get("total_amount") or document.get("refund_fee")
        assert text is not None
        return round(float(text) * 100)

    @staticmethod
    def _word(document: dict[str, Any]) -> str:
        if document["code"] == "10000":
            return str(document.get("trade_status") or document.get("refund_status") or "ok")
        return "typing" if document["code"] == "10003" else str(document["sub_code"])

    def read_callback(self, headers: dict[str, str], body: bytes) -> dict[str, Any] | None:
        del headers
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        signature = fields.pop("sign")
        return fields if self.sdk.verify(dict(fields), signature) else None


class WeChatMerchant:
    channel = "wechat"
    cancel_operation = "reverse"
    code_prefix = "13"

    def __init__(self, session: aiohttp.ClientSession, credentials: dict[str, Any]) -> None:
        self.session, self.credentials = session, credentials
        self.private_key = utils.load_private_key(credentials["merchant_private_key"])
        self.platform = {
            serial: utils.load_public_key(pem)
            for serial, pem in credentials["platform_keys"].items()
        } | {
            f"{one.serial_number:040X}": one.public_key()
            for one in map(_certificate, credentials["platform_certificates"])
        }
        self.notify_url: str | None = None

    async def pay(self, number: str, code: str, fen: int = 100, **extra: Any) -> Answer:
        body = (
            self._order(number, fen)
            | {"payer": {"auth_code": code}, "scene_info": {"store_info": {"id": "s1"}}}
            | extra
        )
        return await self.call("POST", "/v3/pay/transactions/codepay", body)

    async def precreate(self, number: str, fen: int = 100) -> Answer:
        body = self._order(number, fen) | {
            "notify_url": self.notify_url or "http://127.0.0.1:9/none"
        }
        return await self.call("POST", "/v3/pay/transactions/native", body)

    async def query(self, number: str) -> Answer:
        return await self.call(
            "GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.credentials['mchid']}"
        )

    async def cancel(self, number: str) -> Answer:
        return await self.call(
            "POST", f"/v3/pay/transactions/out-trade-no/{number}/reverse", self._merchant()
        )

    async def close(self, number: str) -> Answer:
        return await self.call(
            "POST",
            f"/v3/pay/transactions/out-trade-no/{number}/close",
            {"mchid": self.credentials["mchid"]},
        )

    async def refund(self, number: str, refund_no: str, fen: int, total: int = 100) -> Answer:
        body: dict[str, Any] = {"out_trade_no": number, "out_refund_no": refund_no}
        body["amount"] = {"refund": fen, "total": total, "currency": "CNY"}
        if self.notify_url:
            body["notify_url"] = self.notify_url
        return await self.call("POST", "/v3/refund/domestic/refunds", body)

    async def refund_query(self, number: str, refund_no: str) -> Answer:
        del number
        return await self.call("GET", f"/v3/refund/domestic/refunds/{refund_no}")

    async def call(
        self, method: str, target: str, body: dict[str, Any] | None = None, **overrides: Any
    ) -> Answer:
        """Overrides: `sent` (other bytes than the signed ones), `serial`, `nonce`, `headers` added
        or (None) left out.
        """
        text = json.dumps(body) if body is not None else ""
        nonce = overrides.get("nonce") or uuid.uuid4().hex
        serial = overrides.get("serial", self.credentials["merchant_serial"])
        signed = (target, method, self.credentials["mchid"], serial, self.private_key, text, nonce)
        headers = {
            "Authorization": utils.build_authorization(*signed),
            "Accept": "application/json",
            "User-Agent": "tests",
        }
        headers |= {
            "Content-Type": "application/json",
            "Wechatpay-Serial": next(iter(self.credentials["platform_keys"]), ""),
        }
        headers = {
            name: value
            for name, value in (headers | overrides.get("headers", {})).items()
            if value is not None
        }
        skip = {"User-Agent"} if "User-Agent" not in headers else None
        url = self.credentials["base_url"] + target
        try:
            sent = overrides.get("sent", text.encode())
            async with self.session.request(
                method, url, data=sent, headers=headers, skip_auto_headers=skip
            ) as answer:
                raw = await answer.read()
                return self._answer(
                    answer.status,
                    raw,
                    {name.lower(): value for name, value in answer.headers.items()},
                )
        except aiohttp.ClientError:
            return Answer(LOST)

    @staticmethod
    def amount_of(answer: Answer) -> int:
        amount: int = answer["amount"].get("total")
        return amount

    def read_callback(self, headers: dict[str, str], body: bytes) -> dict[str, Any] | None:
        event: dict[str, Any] | None = wechat_sdk(self.credentials).callback(headers, body)
        return event["resource"] if event else None

    def _answer(self, status: int, raw: bytes, headers: dict[str, str]) -> Answer:
        if status == 500 and "wechatpay-signature" not in headers:
            return Answer("http_500", status)
        document = json.loads(raw) if raw else {}
        said = document.get("trade_state") or document.get("status") or document.get("code") or "ok"
        names = ("wechatpay-timestamp", "wechatpay-nonce")
        key = self.platform.get(headers.get("wechatpay-serial", ""))
        genuine = False
        if "wechatpay-signature" in headers and key is not None:
            facts = (
                *(headers[name] for name in names),
                raw.decode(),
                headers["wechatpay-signature"],
                key,
            )
            age = abs(dt.datetime.now(dt.UTC).timestamp() - int(headers["wechatpay-timestamp"]))
            genuine = utils.rsa_verify(*facts) and age <= 300
        said = "typing" if said == "USERPAYING" else said
        return Answer(said, status, document, genuine, headers.get("wechatpay-serial", ""))

    def _merchant(self) -> dict[str, Any]:
        return {"appid": self.credentials["appid"], "mchid": self.credentials["mchid"]}

    def _order(self, number: str, fen: int) -> dict[str, Any]:
        return self._merchant() | {
            "description": "tea",
            "out_trade_no": number,
            "amount": {"total": fen, "currency": "CNY"},
        }


def wechat_sdk(credentials: dict[str, Any], notify_url: str = "http://127.0.0.1:9/none") -> Any:
    """The real SDK, sent to the sandbox: its host is hard-coded, so the constructor's first call
    needs it patched before.
    """

    class Here(core.Core):  # type: ignore[misc]
        _gate_way = property(lambda _: credentials["base_url"], lambda _, __: None)

    keys: dict[str, Any] = {}
    if credentials["mode"] == "public_key":
        serial, pem = next(iter(credentials["platform_keys"].items()))
        keys = {"public_key": pem, "public_key_id": serial}
    ours = (
        credentials["mchid"],
        credentials["merchant_private_key"],
        credentials["merchant_serial"],
    )
    usual, core.Core = core.Core, Here
    try:
        return WeChatPay(
            WeChatPayType.NATIVE,
            *ours,
            credentials["appid"],
            credentials["api_v3_key"],
            notify_url=notify_url,
            **keys,
        )
    finally:
        core.Core = usual


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _inner(sdk: Any, text: str, method: str) -> str:
    inner: str = sdk._get_string_to_be_signed(text, method.replace(".", "_") + "_response")
    return inner

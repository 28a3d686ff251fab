"""Alipay's shapes: the form and its canonical string, the answer's envelope, yuan texts, China
times, certificate numbers.

Sources: opendocs "common/057k53" (signing), "common/02mse7" (verifying), the OpenAPI v2 method
pages.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote_plus

from cryptography import x509

AMOUNT_FEN_MAX: Final = 10_000_000_000  # 100000000.00 yuan
# How far a request's `timestamp` may be from the channel's clock.
TIMESTAMP_SECONDS_MAX: Final = 600
_AMOUNT: Final = re.compile(r"\A(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,2}))?\Z")
_EXPRESS: Final = re.compile(r"\A([1-9][0-9]{0,4})([mhd])\Z")
_EXPRESS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_TIME_SHAPE: Final = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\Z")
_RSA_SIGNATURES: Final = "1.2.840.113549.1.1"


class WireError(ValueError):
    """A request that is not what the protocol says; the text is for the refusal's `sub_msg`."""


def parse_form(*sources: str) -> dict[str, str]:
    """Query string and body as one set of parameters; a key with two values is refused."""
    parameters: dict[str, str] = {}
    for source in sources:
        for pair in filter(None, source.split("&")):
            name, _, value = pair.partition("=")
            name, value = _decode(name), _decode(value)
            if parameters.setdefault(name, value) != value:
                raise WireError(f"参数重复: {name}")
    return parameters


def request_string(parameters: dict[str, str]) -> bytes:
    """What the merchant signed: all but `sign` and blank values, by key,
    undecoded further, joined with `&`.
    """
    return _joined(
        (name, value) for name, value in parameters.items() if name != "sign" and value.strip()
    )


def notify_string(parameters: dict[str, str]) -> bytes:
    """What Alipay signs in a notify: all but `sign` and `sign_type`; empty values stay."""
    return _joined(
        (name, value) for name, value in parameters.items() if name not in {"sign", "sign_type"}
    )


def inner_text(document: dict[str, Any]) -> str:
    """The inner object as the real gateway writes it: compact, with `/` escaped.

    These very bytes are signed.
    """
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")


def response_key(method: str) -> str:
    """`alipay.trade.pay` → `alipay_trade_pay_response`;
    `error_response` when the method is not known.
    """
    return method.replace(".", "_") + "_response" if method else "error_response"


def fen(text: Any) -> int:
    """Yuan as the wire carries them (a string or a JSON number kept as text) → fen, exactly."""
    match = _AMOUNT.match(text) if isinstance(text, str) else None
    if match is None:
        raise WireError("金额格式错误: 单位为元，最多两位小数")
    amount = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if not 1 <= amount <= AMOUNT_FEN_MAX:
        raise WireError("金额超出范围: 0.01 至 100000000.00")
    return amount


def yuan(amount: int) -> str:
    """Fen → yuan with two decimals."""
    return f"{amount // 100}.{amount % 100:02d}"


def time_text(moment: dt.datetime) -> str:
    """China time as `yyyy-MM-dd HH:mm:ss`."""
    return moment.strftime(_TIME)


def epoch_ms(text: Any, zone: dt.tzinfo) -> int:
    """`yyyy-MM-dd HH:mm:ss` in China time → epoch milliseconds."""
    if not isinstance(text, str) or not _TIME_SHAPE.match(text):
        raise WireError("时间格式错误: yyyy-MM-dd HH:mm:ss")
    try:
        moment = dt.datetime.fromisoformat(text)  # strptime takes ten times as long
    except ValueError:
        raise WireError("时间格式错误: 没有这样的时刻") from None
    return int(moment.replace(tzinfo=zone).timestamp() * 1000)


def express_ms(text: Any) -> int:
    """`5m`, `2h`, `1d` → milliseconds."""
    match = _EXPRESS.match(text) if isinstance(text, str) else None
    if match is None:
        raise WireError("相对超时时间格式错误: 1m～15d")
    return int(match[1]) * _EXPRESS_MS[match[2]]


def certificate_number(certificate: x509.Certificate) -> str:
    """md5 of the issuer (`CN=..,OU=..,O=..,C=..`) and the decimal serial number."""
    issuer = {part.rfc4514_attribute_name: str(part.value) for part in certificate.issuer}
    text = ",".join(f"{key}={issuer.get(key)}" for key in ("CN", "OU", "O", "C")) + str(
        certificate.serial_number
    )
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the protocol's identifier, not a protection


def root_number(bundle: Iterable[x509.Certificate]) -> str:
    """Numbers of the bundle's RSA-signed certificates, joined with `_`."""
    return "_".join(
        certificate_number(one)
        for one in bundle
        if one.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)
    )


def _joined(pairs: Iterable[tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)).encode()


def _decode(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise WireError("编码错误: 需要 utf-8") from None

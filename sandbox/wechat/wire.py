"""WeChat Pay v3's shapes: the Authorization header, signed messages,
AES-256-GCM resources, RFC 3339 times.

Source: the APIv3 rules (接入指南: 签名与验签规则, 回调通知处理).
"""

import base64
import datetime as dt
import json
import re
import secrets
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEMA: Final = "WECHATPAY2-SHA256-RSA2048"
TIMESTAMP_SECONDS_MAX: Final = 300  # how far a request's timestamp may be from the channel's clock
TOTAL_FEN_MAX: Final = 10_000_000_000
_FIELD: Final = re.compile(r'\A([a-z_]+)="([^"]*)"\Z')
_AUTHORIZATION_FIELDS: Final = {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}


class WireError(ValueError):
    """A request that is not what the protocol says; the text is for the refusal's message."""


def parse_authorization(header: str) -> dict[str, str]:
    """The five fields of the header; anything else is refused."""
    schema, _, rest = header.partition(" ")
    if schema != SCHEMA:
        raise WireError("Http头Authorization认证类型不正确")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        match = _FIELD.match(part.strip())
        if match is None or match[1] in fields:
            raise WireError("Http头Authorization值格式错误")
        fields[match[1]] = match[2]
    if (
        set(fields) != _AUTHORIZATION_FIELDS
        or not fields["timestamp"].isascii()
        or not fields["timestamp"].isdigit()
    ):
        raise WireError("Http头Authorization值格式错误")
    return fields


def request_message(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What the merchant signed: five lines, path and query as sent, the body's raw bytes."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def answer_message(timestamp: str, nonce: str, body: bytes) -> bytes:
    """What WeChat Pay signs, in answers and callbacks:
    three lines; an empty body leaves an empty line.
    """
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def encrypt(api_v3_key: str, plaintext: bytes, associated_data: str) -> dict[str, str]:
    """A resource under the merchant's APIv3 key."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(api_v3_key.encode()).encrypt(
        nonce.encode(), plaintext, associated_data.encode()
    )
    ciphertext = base64.b64encode(sealed).decode()
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": ciphertext,
        "associated_data": associated_data,
        "nonce": nonce,
    }


def json_bytes(document: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def has_four_bytes(document: Any) -> bool:
    """Whether a text in it holds a character beyond U+FFFF, escaped on the wire or not."""
    return any(character > "\uffff" for character in json.dumps(document, ensure_ascii=False))


def time_text(moment: dt.datetime) -> str:
    """RFC 3339 with seconds and the +08:00 offset."""
    return moment.isoformat(timespec="seconds")


def epoch_ms(text: Any) -> int:
    """RFC 3339 → epoch milliseconds."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise WireError("时间格式错误: 需要 yyyy-MM-DDTHH:mm:ss+TIMEZONE")
    return int(moment.timestamp() * 1000)

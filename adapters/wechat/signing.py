"""WeChat Pay v3 signatures: ours on requests, theirs on answers and callbacks,
and the seal of a callback's content.

Pure: keys, time and nonce come from outside. Source: "签名与验签规则" and "回调通知处理" of the v3
documentation. Everything is checked over the raw bytes, before anything is parsed.

The platform's keys are pinned: a map from the id in the header `Wechatpay-Serial` to a key, several
of them valid at once, so that a rotation (or the move from certificates to a public key) needs no
pause. An id that is not in the map is refused, never fetched. The platform's own probes carry a
signature that starts with `WECHATPAY/SIGNTEST/`; that is no base64 of any signature, so they fail
like every forgery.
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.wechat.wire import Resource
from gateway.limits import CLOCK_SKEW_S_MAX
from security.rsa_signing import load_public_key, rsa_verify

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
SEAL: Final = "AEAD_AES_256_GCM"
UNSIGNED: Final = "unsigned"
API_V3_KEY_BYTES: Final = 32
PUBLIC_KEY_ID_PREFIX: Final = "PUB_KEY_ID_"
_UNIX_DIGITS_MAX: Final = 12  # enough for thirty thousand years, and int() stays cheap


def request_message(
    method: str, path_and_query: str, timestamp: int, nonce: str, body: bytes
) -> bytes:
    """What we sign: five lines, each ended by one newline; path and query exactly as sent, the
    body's raw bytes.
    """
    return f"{method}\n{path_and_query}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def authorization(*, mchid: str, serial: str, timestamp: int, nonce: str, signature: str) -> str:
    """The Authorization header. `serial` is that of our own API certificate."""
    return (
        f"{SCHEME} "
        f'mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",timestamp="{timestamp}",serial_no="{serial}"'
    )


def doubt(
    keys: Mapping[str, RSAPublicKey], headers: Mapping[str, str], body: bytes, now: datetime
) -> str | None:
    """Why an answer or a callback is not believed to be WeChat Pay's, as a bounded word;
    None: it is genuine.

    `unsigned`, `unknown_scheme`, `stale` (more than 300 s from `now`, either way), `unknown_key`,
    `bad_signature`.
    """
    named = {name.lower(): value for name, value in headers.items()}
    timestamp, nonce = named.get("wechatpay-timestamp"), named.get("wechatpay-nonce")
    serial, signature = named.get("wechatpay-serial"), named.get("wechatpay-signature")
    if not (timestamp and nonce and serial and signature):
        return UNSIGNED
    if named.get("wechatpay-signature-type", SCHEME) != SCHEME:
        return "unknown_scheme"
    if not _is_fresh(timestamp, now):
        return "stale"
    key = keys.get(key_id(serial))
    if key is None:
        return "unknown_key"
    if not nonce.isascii():
        return "bad_signature"
    return (
        None
        if rsa_verify(key, f"{timestamp}\n{nonce}\n".encode("ascii") + body + b"\n", signature)
        else "bad_signature"
    )


def opened(api_v3_key: str, resource: Resource) -> bytes | None:
    """The content of a sealed resource; None when it was altered, sealed with another key,
    or is no such seal.
    """
    if resource.algorithm != SEAL:
        return None
    try:
        return AESGCM(api_v3_key.encode()).decrypt(
            resource.nonce.encode(),
            b64decode(resource.ciphertext),
            resource.associated_data.encode(),
        )
    except (InvalidTag, ValueError):  # a ValueError: no base64, or a nonce of no such length
        return None


def platform_keys(
    public_keys: Mapping[str, str], certificates: Iterable[str]
) -> dict[str, RSAPublicKey]:
    """The pinned map.

    `public_keys`: id `PUB_KEY_ID_…` → PEM; `certificates`: PEM each, known by their serial.

    Raises ValueError or RsaKeyInvalid.
    """
    keys = {key_id(name): load_public_key(pem) for name, pem in public_keys.items()}
    for pem in certificates:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError(  # noqa: TRY004
                "a platform certificate holds no RSA key: use the one the merchant console offers"
            )
        keys[key_id(f"{certificate.serial_number:X}")] = key
    return keys


def key_id(serial: str) -> str:
    """One spelling for every id: certificate serials are hex numbers, written with or without
    leading zeros and in either case.
    """
    return serial if serial.startswith(PUBLIC_KEY_ID_PREFIX) else serial.upper().lstrip("0")


def _is_fresh(timestamp: str, now: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _UNIX_DIGITS_MAX):
        return False
    return abs(now.timestamp() - int(timestamp)) <= CLOCK_SKEW_S_MAX

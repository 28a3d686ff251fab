r"""Alipay's signatures, pure: what is signed in a request, an answer and a notify,
and whose key verifies it.

Source: opendocs.alipay.com, common/057k53 (sign) and common/02mse7 (verify); certificate numbers as
its own SDKs compute them. RSA itself is security.rsa_signing. An answer is verified over the bytes
of its inner object as they came: parsed and dumped again they would differ (`\/`, blanks, order),
so a scanner finds where that object begins and ends.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from adapters.alipay.credentials import Credentials
from gateway.limits import (
    ALIPAY_ANSWER_BYTES_MAX,
    ALIPAY_ANSWER_DEPTH_MAX,
    ALIPAY_NOTIFY_FIELDS_MAX,
)
from security.rsa_signing import load_public_key, rsa_verify

RSA_SIGNATURE_OIDS = "1.2.840.113549.1.1."  # a root bundle also holds SM2 roots, which do not count
ERROR_NODE = "error_response"
UNSIGNED = "unsigned"
UTF_8 = "utf-8"
# What `charset` may say: what we ask for, and what another system may have asked for.
CHARSETS = {UTF_8: UTF_8, "gbk": "gb18030"}


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer taken apart but not yet believed:
    `content` is the inner object exactly as received.
    """

    content: bytes
    signature: str | None
    certificate_sn: str | None


@dataclass(frozen=True, slots=True)
class Notify:
    """A notify's parameters, decoded once but not yet believed. `encoding`: of the signed text."""

    params: Mapping[str, str]
    encoding: str


class Trust:
    """Whom we believe, and what a request says about our own certificate.

    The pinned certificate is trusted because the merchant stored it; a number we do not have is
    never looked up, since that would let a stranger's callback make us call out.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.request_params: Mapping[str, str] = {}
        self._certificate_sn: str | None = None
        if credentials.mode == "public_key":
            self._key = load_public_key(credentials.alipay_public_key or "")
            return
        certificate = _certificates(credentials.alipay_certificate or "")[0]
        self._key = _rsa_key(certificate)
        self._certificate_sn = _serial(certificate)
        self.request_params = {
            "app_cert_sn": certificate_sn(credentials.app_certificate or ""),
            "alipay_root_cert_sn": root_certificate_sn(credentials.alipay_root_certificate or ""),
        }

    def doubt_answer(self, answer: SignedAnswer) -> str | None:
        """Why this answer is not believed; None: it is genuine."""
        if not answer.signature:
            return UNSIGNED
        if self._certificate_sn is not None and answer.certificate_sn != self._certificate_sn:
            return "unknown_certificate"
        return None if rsa_verify(self._key, answer.content, answer.signature) else "bad_signature"

    def believed_notify(self, notify: Notify) -> dict[str, str] | None:
        """The parameters that a genuine notify vouches for, empty ones left out;
        None: it is not genuine.

        The official rule signs empty values too; some of Alipay's senders leave them out, so that
        form is tried second. There an outsider could add empty parameters, which is why none is
        ever handed on.
        """
        filled = {name: value for name, value in notify.params.items() if value}
        if (
            self._certificate_sn is not None
            and filled.get("alipay_cert_sn", self._certificate_sn) != self._certificate_sn
        ):
            return None
        signature = filled.get("sign", "")
        genuine = any(
            rsa_verify(self._key, notify_content(form, notify.encoding), signature)
            for form in (notify.params, filled)
        )
        return filled if genuine else None


def request_content(params: Mapping[str, str]) -> bytes:
    """What a request signs: every parameter but `sign` and the blank ones, sorted by bytes, raw,
    joined by `&`.
    """
    return _joined(
        {name: value for name, value in params.items() if name != "sign" and value.strip()}
    )


def notify_content(params: Mapping[str, str], encoding: str = UTF_8) -> bytes:
    """What a notify signs: as in a request, but without `sign_type`,
    and with the empty values given.
    """
    return _joined(
        {name: value for name, value in params.items() if name not in {"sign", "sign_type"}},
        encoding,
    )


def read_notify(body: bytes) -> Notify:
    """The form, decoded once, in the character set that it names itself.

    Raises ValueError for a duplicate name, a nameless pair, or text that is not of that set.
    """
    filled = "&".join(filter(None, body.decode("ascii").split("&")))
    pairs = parse_qsl(
        filled,
        keep_blank_values=True,
        strict_parsing=True,
        encoding="latin-1",  # a character a byte: `charset` is one of the parameters
        max_num_fields=ALIPAY_NOTIFY_FIELDS_MAX,
    )
    as_bytes = {name: value.encode("latin-1") for name, value in pairs}
    if len(as_bytes) != len(pairs):
        raise ValueError("a parameter stands twice")
    charset = as_bytes.get("charset", UTF_8.encode()).decode("ascii").lower()
    if charset not in CHARSETS:
        raise ValueError("a character set that Alipay does not know")
    encoding = CHARSETS[charset]
    params = {
        name.encode("latin-1").decode(encoding): value.decode(encoding)
        for name, value in as_bytes.items()
    }
    if "sign" in params:  # base64 has no blank: it was a plus sign that was sent as it stands
        params["sign"] = params["sign"].replace(" ", "+")
    return Notify(params=params, encoding=encoding)


def open_answer(body: bytes, method: str) -> SignedAnswer:
    """Find the inner object of `method`'s answer (or `error_response`), its signature and its
    certificate. Raises ValueError.
    """
    if len(body) > ALIPAY_ANSWER_BYTES_MAX:
        raise ValueError("longer than any answer")
    members = json_members(body)
    content = members.get(method.replace(".", "_") + "_response", members.get(ERROR_NODE))
    if content is None or not content.startswith(b"{"):
        raise ValueError("no inner object of this method")
    return SignedAnswer(
        content=content,
        signature=_text(members.get("sign")),
        certificate_sn=_text(members.get("alipay_cert_sn")),
    )


_BLANK = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]+")
_BETWEEN_BRACKETS = re.compile(rb'[^"\[\]{}]*')
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


def json_members(text: bytes) -> dict[str, bytes]:
    """The members of the outermost JSON object: name -> the bytes of its value exactly as they
    stand. Raises ValueError.

    Linear and without recursion. Inside a value only strings and brackets are followed: decoding it
    is the reader's business.
    """
    members: dict[str, bytes] = {}
    at = _expect(text, 0, b"{")
    if _starts(text, at, b"}"):
        return _nothing_after(text, _expect(text, at, b"}"), members)
    while True:
        at = _skip_blank(text, at)
        end = _string_end(text, at)
        name = msgspec.json.decode(text[at:end], type=str)
        if name in members:
            raise ValueError("a member stands twice")
        at = _skip_blank(text, _expect(text, end, b":"))
        end = _value_end(text, at)
        members[name] = text[at:end]
        if _starts(text, end, b"}"):
            return _nothing_after(text, _expect(text, end, b"}"), members)
        at = _expect(text, end, b",")


def _value_end(text: bytes, at: int) -> int:
    if text[at : at + 1] == b'"':
        return _string_end(text, at)
    if text[at : at + 1] in {b"{", b"["}:
        return _bracket_end(text, at)
    scalar = _SCALAR.match(text, at)
    if scalar is None:
        raise ValueError("a value is missing")
    return scalar.end()


def _bracket_end(text: bytes, at: int) -> int:
    """Where the bracket that opens at `at` is closed."""
    awaited: list[int] = []
    while at < len(text):
        byte = text[at]
        if byte == ord('"'):
            at = _string_end(text, at)
        else:
            if byte in _CLOSING:
                awaited.append(_CLOSING[byte])
                if len(awaited) > ALIPAY_ANSWER_DEPTH_MAX:
                    raise ValueError("deeper than any answer")
            elif not awaited or awaited.pop() != byte:
                raise ValueError("brackets do not match")
            at += 1
        if not awaited:
            return at
        at = _BETWEEN_BRACKETS.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere
    raise ValueError("the text ends inside a value")


def _string_end(text: bytes, at: int) -> int:
    string = _STRING.match(text, at)
    if string is None:
        raise ValueError("a string is missing or never ends")
    return string.end()


def _skip_blank(text: bytes, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere


def _starts(text: bytes, at: int, token: bytes) -> bool:
    return text.startswith(token, _skip_blank(text, at))


def _expect(text: bytes, at: int, token: bytes) -> int:
    if not _starts(text, at, token):
        raise ValueError(f"expected {token.decode()}")
    return _skip_blank(text, at) + len(token)


def _nothing_after(text: bytes, at: int, members: dict[str, bytes]) -> dict[str, bytes]:
    if _skip_blank(text, at) != len(text):
        raise ValueError("something follows the object")
    return members


def certificate_sn(pem: str) -> str:
    """The number Alipay names a certificate by; of a chain, the first one's. Raises ValueError."""
    return _serial(_certificates(pem)[0])


def root_certificate_sn(bundle_pem: str) -> str:
    """The numbers of the bundle's RSA roots, in its order, joined by `_`. Raises ValueError."""
    rsa_roots = [
        each
        for each in _certificates(bundle_pem)
        if each.signature_algorithm_oid.dotted_string.startswith(RSA_SIGNATURE_OIDS)
    ]
    if not rsa_roots:
        raise ValueError("the root bundle holds no RSA certificate: is it alipayRootCert.crt?")
    return "_".join(map(_serial, rsa_roots))


def _serial(certificate: x509.Certificate) -> str:
    """MD5 of the issuer's name, most specific part first, followed by the decimal serial number."""
    text = certificate.issuer.rfc4514_string() + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode("ascii"))
    except ValueError as failure:
        raise ValueError(
            "this is no certificate in PEM: was it cut, or is it a bare key?"
        ) from failure


def _rsa_key(certificate: x509.Certificate) -> RSAPublicKey:
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        return key
    raise ValueError(
        "the Alipay certificate holds no RSA key: RSA2 needs alipayCertPublicKey_RSA2.crt"
    )


def _joined(params: Mapping[str, str], encoding: str = UTF_8) -> bytes:
    names = sorted(params, key=str.encode)
    return "&".join(f"{name}={params[name]}" for name in names).encode(encoding)


def _text(value: bytes | None) -> str | None:
    return None if value is None else msgspec.json.decode(value, type=str)

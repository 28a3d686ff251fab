"""What must not reach a log is taken out of every text on its way there: payment codes, card
numbers, signatures, keys.

The last line of defence, not the first: nothing should log these at all (PCI DSS 3.3.1, 3.4.1). It
errs towards hiding, except for the numbers a log is read for: our ids and out_trade_no's (base32,
so never a long run of digits), the channels' 21- and 28-digit trade numbers, and times.

| hidden | known by | becomes |
|---|---|---|
| payment codes | the channels' own patterns, between non-alphanumerics | `28****************` |
| card numbers | 13 to 19 digits with a Luhn check digit | `[card number]` |
| parameters | a name like `sig`, `secret`, `auth_code`, `pin` before `=` or `:` | `name=***` |
| credentials | after Bearer and Basic; our `sk_…`, `whsec_…`; master key lines | `sk_live_***` |
| keys | PEM blocks; bare base64 of an ASN.1 key | `[PEM block]`, `[key]` |

Card numbers are also found in groups of four, and before track-2 data. What follows Bearer becomes
`Bearer ***`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from gateway.limits import REDACTION_DEPTH_MAX
from security.secret import HIDDEN, Secret

CARD_NUMBER: Final = "[card number]"
PEM_BLOCK: Final = "[PEM block]"
BARE_KEY: Final = "[key]"
TOO_DEEP: Final = "[too deep to redact]"


@dataclass(frozen=True, slots=True)
class Redaction:
    """`payment_codes`: how the channels' payment codes look, each pattern for one whole code."""

    payment_codes: tuple[re.Pattern[str], ...]

    def text(self, text: str) -> str:
        """`text` without anything secret; the very same object when there is nothing to hide."""
        if "-----BEGIN" in text:
            text = _PEM.sub(PEM_BLOCK, text)
        if "=" in text or ":" in text:
            text = self._hide_parameters(text)
        if _may_hold_numbers(text):
            text = _CARD_NUMBER.sub(self._hide_card_number, text)
        if any(map(self._is_payment_code, _MAYBE_A_CODE.findall(text))):
            text = _MAYBE_A_CODE.sub(self._hide_code, text)
        if _may_hold_credentials(text):
            text = _CREDENTIAL.sub(_hide_credential, text)
        return text

    def event(self, _logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
        """The structlog processor: every key and value of an event, however nested.

        Stands after `format_exc_info` (a traceback quotes source lines and messages) and directly
        before the renderer. Bytes are never shown, only counted; other objects are shown by their
        redacted `repr`.
        """
        return {
            name: value
            if name == "exc_info" and not isinstance(value, str)
            else self._item(name, value, REDACTION_DEPTH_MAX)
            for name, value in event.items()
        }

    def _is_payment_code(self, word: str) -> bool:
        return any(pattern.fullmatch(word) for pattern in self.payment_codes)

    def _hide_code(self, match: re.Match[str]) -> str:
        return mask_auth_code(match[0]) if self._is_payment_code(match[0]) else match[0]

    def _hide_card_number(self, match: re.Match[str]) -> str:
        if self._is_payment_code(match[0]):  # a tenth of the payment codes pass Luhn by chance
            return mask_auth_code(match[0])
        digits = (match["track"] or match[0]).replace(" ", "").replace("-", "")
        return CARD_NUMBER if _may_be_a_card(digits) else match[0]

    def _hide_parameters(self, text: str) -> str:
        parts: list[str] = []
        kept_to = 0
        for match in _NAME.finditer(text):
            if match.start() < kept_to or not _is_secret_name(match[1]):
                continue
            value = _value_at(text, match.end(), _plain(match[1]))
            # An object: its members have names of their own.
            if value is None or value[0] in {"{", "["}:
                continue
            hidden = self._hide_value(value[0])
            if hidden != value[0]:
                parts += (text[kept_to : match.end()], hidden)
                kept_to = value.end()
        return "".join((*parts, text[kept_to:])) if parts else text

    def _hide_value(self, value: str) -> str:
        bare = value.strip(_QUOTES)
        opening = value[: len(value) - len(value.lstrip(_QUOTES))]
        closing = value[-1] if bare and opening and value[-1] in "\"'" else ""
        return f"{opening}{self._hidden_text(bare)}{closing}" if bare else value

    def _hidden_text(self, text: str) -> str:
        if self._is_payment_code(text):
            return mask_auth_code(text)
        return text if _ALREADY_MASKED.fullmatch(text) else HIDDEN

    def _item(self, name: object, value: Any, depth: int) -> Any:
        if (
            isinstance(name, str)
            and value is not None
            and not isinstance(value, bool)
            and _is_secret_name(name)
        ):
            return self._hidden_whole(value, depth)
        return self._value(value, depth)

    def _hidden_whole(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {self._value(name, depth - 1): HIDDEN for name in value}
        return self._hidden_text(value) if isinstance(value, str) else HIDDEN

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return (
                CARD_NUMBER
                if abs(value) in _LONG_NUMBERS and self.text(str(value)) != str(value)
                else value
            )
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._collection(value, depth - 1) if depth > 0 else TOO_DEEP
        return HIDDEN if isinstance(value, Secret) else self.text(repr(value))

    def _collection(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {
                self._value(name, depth): self._item(name, each, depth)
                for name, each in value.items()
            }
        return [self._value(each, depth) for each in value]


def mask_auth_code(auth_code: str) -> str:
    """A payment code for people to tell codes apart by: its first two digits, which name the
    channel, then a star for each other one.

    No last digits: a code is a one-time secret, and the middle of a short one could then be tried
    out. Anything but 16 to 24 ASCII digits is `***`: a PIN must not show its first two.
    """
    return auth_code[:2] + "*" * (len(auth_code) - 2) if _MASKABLE.fullmatch(auth_code) else HIDDEN


_MASKABLE = re.compile(r"[0-9]{16,24}")
_LONG_RUN = re.compile(r"[0-9]{13}")
_GROUPS = re.compile(r"[0-9]{4}[ -][0-9]{4}")
_MAYBE_A_CODE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{10,}+")  # no payment code is shorter
_CARD_NUMBER = re.compile(
    r"(?<![0-9A-Za-z])"
    # Track 2 goes whole: PCI forbids the rest of it even more.
    r"(?:(?P<track>[0-9]{13,19})[=D][0-9]{4,}"
    r"|[0-9]{13,19}"
    r"|[0-9]{4}(?:[ -][0-9]{4}){2,3}(?:[ -][0-9]{1,4})?"
    r"|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})"
    r"(?![0-9A-Za-z])"
)
_CARD_DIGITS: Final = range(13, 20)
_UATP_DIGITS: Final = 15  # air travel cards, the only ones that begin with 1


def _may_hold_numbers(text: str) -> bool:
    """Cheap and never wrongly no: the patterns cost ten times as much on ordinary text."""
    if len(text) < _CARD_DIGITS.start:
        return False
    return _LONG_RUN.search(text) is not None or (
        (" " in text or "-" in text) and _GROUPS.search(text) is not None
    )


def _may_be_a_card(digits: str) -> bool:
    """Luhn-valid, and not what ISO/IEC 7812 gives to no issuer today:
    0, 1 (but for 15 digits) and 20.

    That spares times since 1970, numbers that begin with a date, and Alipay's 2088 account ids, of
    which a tenth pass Luhn by chance.
    """
    if (
        len(digits) not in _CARD_DIGITS
        or digits.startswith(("0", "20"))
        or (digits[0] == "1" and len(digits) != _UATP_DIGITS)
    ):
        return False
    return luhn_valid(digits)


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1 annex B."""
    doubled = sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_NAME = re.compile(r"""(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_-]*+)\\*["']?\s{0,4}[=:]\s{0,4}""")
_VALUE = re.compile(
    r'"(?:[^"\\]|\\.)*+"?'
    r"|'(?:[^'\\]|\\.)*+'?"
    r"""|\\++["'][^"'\\]*+"""  # JSON inside JSON
    r"""|(?:(?:Bearer|Basic|Token)\s++)?[^\s"'&,;)}\]\\]++""",
    re.IGNORECASE,
)
_REST_OF_LINE = re.compile(r"[^\n]+")
_QUOTES: Final = "\\\"'"

_HEADER_NAMES: Final = frozenset({"authorization", "proxyauthorization", "cookie", "setcookie"})
_SECRET_NAMES: Final = (
    _HEADER_NAMES
    | {"sig", "sign", "passwd", "pwd", "qrno", "pin", "pinblock", "membercode", "emv"}
    | {"pan", "cardno", "cardnumber", "accno", "cvv", "cvv2", "cvn2", "cvc", "trackdata"}
    | {"track1", "track2", "track3", "track2encrypted"}
)
_SECRET_ENDINGS: Final = (
    "secret",
    "password",
    "token",
    "signature",
    "privatekey",
    "masterkey",
    "apikey",
    "apiv3key",
    "authcode",
)


def _value_at(text: str, at: int, name: str) -> re.Match[str] | None:
    bare_header = name in _HEADER_NAMES and text[at : at + 1] not in _QUOTES
    return (_REST_OF_LINE if bare_header else _VALUE).match(text, at)


_ALREADY_MASKED = re.compile(r"[0-9]{2}[*]{14,22}")


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    plain = _plain(name)
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_CREDENTIAL = re.compile(
    # But not "basic settings".
    r"(?:\b(?P<scheme>[Bb]earer|[Bb]asic(?= +[A-Za-z+/]*+[0-9=])) +[A-Za-z0-9._~+/=-]{6,}"
    r"|(?P<kind>sk_live_|sk_test_|whsec_)[A-Za-z0-9+/_=-]{6,}"
    r"|\b(?P<version>v[0-9]{1,5}:)[A-Za-z0-9+/]{43}="
    r"|\bMII[A-Za-z0-9+/]{100,}={0,2})"
)


def _may_hold_credentials(text: str) -> bool:
    return (
        "sk_" in text
        or "whsec_" in text
        or "MII" in text
        or "earer " in text
        or "asic " in text
        or (":" in text and "v" in text)
    )


def _hide_credential(match: re.Match[str]) -> str:
    if match["scheme"]:
        return f"{match['scheme']} {HIDDEN}"
    known = match["kind"] or match["version"]
    return f"{known}{HIDDEN}" if known else BARE_KEY


_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)

_LONG_NUMBERS: Final = range(10**12, 10**24)

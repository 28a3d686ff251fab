"""Raw bytes to a struct, strictly: JSON that two readers could understand differently is refused.

msgspec decodes and checks types in about a microsecond, but keeps the last of two equal keys. Equal
keys are found by counting: an object's text holds one colon for each key and others only inside
strings, so as many colons as distinct keys prove that no key stands there twice. Otherwise, and
after every refusal, the slow reader of the standard library decides.

A text below is never quoted: it may be a payment code.
"""

import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

import msgspec
from msgspec import DecodeError, ValidationError

from gateway.domain.errors import (
    AmountInvalid,
    FieldInvalid,
    FieldMissing,
    FieldUnknown,
    GatewayError,
    Malformed,
)
from gateway.edge_limits import INSTANT_YEAR_MAX, INSTANT_YEAR_MIN
from gateway.http.bodies import PATTERN_MEANINGS, decode_auth_code
from gateway.limits import QUERY_PARAMETERS_MAX, REQUEST_BODY_DEPTH_MAX

T = TypeVar("T")

AMOUNT_FIELDS = frozenset({"amount", "cash.tendered", "order_amount"})


def decoder_of(shape: type[T]) -> msgspec.json.Decoder[T]:
    """A strict decoder for a struct of `bodies`; made once, at import."""
    return msgspec.json.Decoder(shape, dec_hook=decode_auth_code)


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The struct.

    Raises `Malformed` (not UTF-8 JSON, equal keys, too deep), or a 422 that names the field.
    """
    try:
        value = decoder.decode(body)
    except ValidationError as error:
        _refuse_ambiguous(body)
        raise explained(str(error)) from None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("The body is not one UTF-8 JSON object") from None
    if body.count(b":") != _distinct_keys(msgspec.json.decode(body)):
        _refuse_ambiguous(body)
    return _of_our_time(value)


def decode_query(shape: type[T], query_string: str) -> T:
    """The struct from the raw query.

    Raises `Malformed` for what is no query, else a 422 that names the parameter.
    """
    if not query_string:
        return msgspec.convert({}, shape)
    values: dict[str, Any] = {}
    for name, text in _parameters(query_string):
        if name in values:
            raise Malformed("A query parameter is given twice", field=_plain(name))
        values[name] = int(text) if name in _WHOLE_NUMBERS and _DIGITS.fullmatch(text) else text
    try:
        return _of_our_time(msgspec.convert(values, shape))
    except ValidationError as error:
        raise explained(str(error)) from None


def explained(message: str) -> GatewayError:
    """Our refusal for msgspec's: which field, and what is expected of it.

    Only enum errors and unknown names quote what was sent.
    """
    if unknown := _UNKNOWN.fullmatch(message):
        return FieldUnknown(field=_joined(unknown["path"], unknown["name"]))
    if message.startswith("Object contains unknown field"):
        return FieldUnknown()
    if missing := _MISSING.fullmatch(message):
        return FieldMissing(field=_joined(missing["path"], missing["name"]))
    sentence, _, place = message.rpartition(" - at ")
    field = _joined(_PLACE.sub("", place.removeprefix("`key` in ")), "")
    if field in AMOUNT_FIELDS:
        return AmountInvalid(field=field)
    if not sentence:
        return FieldInvalid("The body must be one JSON object")
    if sentence.startswith("Invalid enum value"):
        sentence = "The value is not one of those this field takes"
    pattern = sentence.partition(" matching regex ")[2]
    return FieldInvalid(PATTERN_MEANINGS.get(pattern, sentence), field=field)


def _of_our_time(value: T) -> T:
    """The struct, unless an instant in it is none that we could have met: other calendars, UTC and
    the database end earlier than RFC 3339 does.
    """
    shape: type = type(value)
    for field, name in _instants_of(shape):
        instant = getattr(value, field)
        if instant is not None and not _is_of_our_time(instant):
            raise FieldInvalid(
                f"Expected a time of the years {INSTANT_YEAR_MIN} to {INSTANT_YEAR_MAX} in UTC",
                field=name,
            )
    return value


@cache
def _instants_of(shape: type) -> tuple[tuple[str, str], ...]:
    """The fields of a struct that hold an instant, with their names on the wire."""
    fields = msgspec.structs.fields(shape) if issubclass(shape, msgspec.Struct) else ()
    return tuple((each.name, each.encode_name) for each in fields if _holds_instant(each.type))


def _holds_instant(annotation: Any) -> bool:
    return annotation is datetime or any(map(_holds_instant, get_args(annotation)))


def _is_of_our_time(instant: datetime) -> bool:
    try:
        year = instant.astimezone(UTC).year
    except OverflowError:
        return False
    return INSTANT_YEAR_MIN <= year <= INSTANT_YEAR_MAX


_UNKNOWN = re.compile(
    r"Object contains unknown field `(?P<name>[A-Za-z0-9_.-]{1,64})`(?: - at `\$(?P<path>[^`]*)`)?"
)
_MISSING = re.compile(
    r"Object missing required field `(?P<name>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?"
)
_PLACE = re.compile(r"[`$]|\[\.\.\.\]")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DIGITS = re.compile(r"[0-9]{1,9}")
_WHOLE_NUMBERS = frozenset({"limit", "wait"})


def _joined(path: str | None, name: str) -> str:
    return f"{path or ''}.{name}".strip(".")


def _plain(name: str) -> str | None:
    return name if _PLAIN.fullmatch(name) else None


def _parameters(query_string: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except ValueError:
        raise Malformed(
            f"The query is not a list of at most {QUERY_PARAMETERS_MAX} name=value pairs in UTF-8"
        ) from None


def _distinct_keys(value: Any) -> int:
    if type(value) is dict:
        keys = len(value)
        for each in value.values():
            if type(each) is dict or type(each) is list:
                keys += _distinct_keys(each)
        return keys
    return sum(map(_distinct_keys, value)) if type(value) is list else 0


def _refuse_ambiguous(body: bytes) -> None:
    """Raise `Malformed` if the body is no JSON at all,
    nests too deep or holds a key twice in one object.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_unread,
            parse_float=_unread,
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(
            "A key stands twice in one object" if isinstance(error, _KeyTwice) else None
        ) from None
    if _deeper_than(value, REQUEST_BODY_DEPTH_MAX):
        raise Malformed(f"The body nests deeper than {REQUEST_BODY_DEPTH_MAX}")


class _KeyTwice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _KeyTwice
    return value


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _unread(_digits: str) -> int:
    return 0


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(
        _deeper_than(each, levels - 1)
        for each in (value.values() if isinstance(value, dict) else value)
    )

"""A channel's JSON as one of our shapes.

Channels write null for a field that they could leave out (WeChat Pay's rules say so), and a number
where a text is documented (the samples of Alipay's own pages). Both say the same as the usual form,
so neither may cost a whole signed answer.
"""

from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

# A number with a fraction stays the digits that came: money never becomes a float.
_PLAIN: Final = msgspec.json.Decoder(float_hook=str)


def read(shape: type[T], body: bytes | str) -> T:
    """The document as `shape`: null is a field left out, a number with a fraction is its text.

    Raises ValueError for anything that is no such document, nested too deep included.
    """
    try:
        try:
            return msgspec.json.decode(body, type=shape)  # the usual form, in one pass
        except msgspec.ValidationError:
            return msgspec.json.decode(
                msgspec.json.encode(_without_nulls(_PLAIN.decode(body))), type=shape
            )
    except RecursionError as failure:
        raise ValueError("nested too deep") from failure


def plain(body: bytes | str | msgspec.Raw) -> Any:
    """Any document, as `read` takes it: a number with a fraction is its text. Raises ValueError."""
    try:
        return _PLAIN.decode(body)
    except RecursionError as failure:
        raise ValueError("nested too deep") from failure


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value if each is not None]
    return value

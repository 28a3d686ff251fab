"""A text that must never be seen by accident:
not in a log, a traceback, an answer, a pickle or a settings dump.

It is not a `str`, so whatever wants text (json, msgspec, a database driver, a template) fails or
prints `***`.
"""

import hmac
from typing import Any, Final, NoReturn, Self, final

HIDDEN: Final = "***"


@final
class Secret:
    """A frozen secret text; `reveal()` is the only way to it,
    so that every use can be found by one search.

    Equality takes constant time. Unhashable, because a hash table compares hashes and gives timing
    away.

    Raises ValueError for an empty text: a secret that is not set is `None`, never an empty key.
    """

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]
    _text: str

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a Secret wraps a str")
        if not text:
            raise ValueError("a Secret may not be empty")
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """The text itself. Never bind the result to anything that outlives the call it is for."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_as_bytes(self._text), _as_bytes(other._text))

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, _format_spec: str) -> str:
        return HIDDEN

    def __setattr__(self, _name: str, _value: object) -> NoReturn:
        raise AttributeError("a Secret is frozen")

    def __delattr__(self, _name: str) -> NoReturn:
        raise AttributeError("a Secret is frozen")

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: seal it with security.vault instead")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self


def decode_hook(expected_type: type, value: Any) -> Secret:
    """`dec_hook` of msgspec: lets structs have `Secret` fields.

    There is no encode hook on purpose: encoding raises.

    Raises ValueError or TypeError, which msgspec turns into a ValidationError that names the path
    and not the value; NotImplementedError for any other type.
    """
    if expected_type is not Secret:
        raise NotImplementedError(f"no rule to decode {expected_type.__name__}")
    return value if isinstance(value, Secret) else Secret(value)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

"""What each field means, in English and Chinese: one table for the OpenAPI document and the page.

A name stands for the field of every struct; `Struct.name` is about one struct and goes first.
Types, bounds and defaults come from the structs. A test compares both ways, so that a new field
cannot go out without its text.
"""

from typing import Final

from gateway.http import answer_texts, request_texts
from gateway.http.text import Text

TEXTS: Final = {
    **request_texts.ANY_STRUCT,
    **request_texts.PAY,
    **request_texts.QUERIES,
    **answer_texts.PAYMENT,
    **answer_texts.REFUND,
    **answer_texts.EVENTS,
    **answer_texts.PROBLEM,
}


def text_of(struct: str, field: str) -> Text | None:
    """The text of a field; None when it has none."""
    return TEXTS.get(f"{struct}.{field}") or TEXTS.get(field)

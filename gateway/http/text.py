"""A text in both languages of the API's readers."""

from typing import NamedTuple


class Text(NamedTuple):
    """`code` is marked as in markdown."""

    en: str
    zh: str

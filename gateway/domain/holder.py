"""What an API key belongs to: a merchant, one of its stores, one of its terminals.

Each can be disabled. Then the keys below it sign nothing any more; its payments and refunds under
way, callbacks and webhooks go on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class HolderKind(StrEnum):
    """The value is the table's name, and the word after `tillgate`."""

    MERCHANT = "merchant"
    STORE = "store"
    TERMINAL = "terminal"


class Holder(NamedTuple):
    """One of them. Ids of stores and terminals are unique within their merchant."""

    kind: HolderKind
    merchant_id: str
    id: str

    def __str__(self) -> str:
        """For a sentence."""
        if self.kind is HolderKind.MERCHANT:
            return f"merchant {self.id}"
        return f"{self.kind} {self.id} of merchant {self.merchant_id}"

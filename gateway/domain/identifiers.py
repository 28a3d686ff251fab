"""Numbers that must come out the same when they are made twice: channel order numbers, refund
numbers, event ids.

A database rolled back makes the same number again, and the channel refuses it: that is the point of
deriving them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.domain.tender import Tender
from gateway.domain.words import Numbering

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648
# The library's encoder takes five times as long.
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = range(120, -1, -10)


def _digest26(*parts: str | int) -> str:
    """The first 130 bits of SHA-256 over the parts, each ended by NUL so that no two lists collide,
    as 26 base32 characters.
    """
    bits = int.from_bytes(_sha256(parts).digest()[:17], "big") >> 6
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def _sha256(parts: tuple[str | int, ...]) -> hashlib._Hash:
    return hashlib.sha256("".join([f"{part}\0" for part in parts]).encode())


def out_trade_no(environment: str, tender: Tender, number: int) -> str:
    """Our order number at the channel: the environment's two characters and 26 of `[A-Z2-7]`.

    `number` counts attempts over all payments of the tender.
    """
    bill = (tender.order_no, tender.tender_no, number)
    if tender.numbering == Numbering.BY_MERCHANT:
        return environment + _digest26(tender.merchant_id, *bill)
    return environment + _digest26(tender.merchant_id, tender.store_id, *bill)


def out_refund_no(environment: str, trade_no: str, refund_no: str) -> str:
    """Our refund number at the channel, for the refund `refund_no` of the attempt `trade_no`."""
    return environment + _digest26("refund", trade_no, refund_no)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Our numbers at the channels. `environment`: the two characters that they begin with."""

    environment: str

    def trade(self, tender: Tender, n: int) -> str:
        """The order number of the tender's attempt `n`, counted over all its payments."""
        return out_trade_no(self.environment, tender, n)

    def refund(self, trade_no: str, refund_no: str) -> str:
        """The number of the refund `refund_no` of the attempt `trade_no`."""
        return out_refund_no(self.environment, trade_no, refund_no)


def event_id(object_id: str, version: int) -> str:
    """Stable for one version of one object; not sortable."""
    return f"evt_{_sha256(('event', object_id, version)).hexdigest()[:32]}"

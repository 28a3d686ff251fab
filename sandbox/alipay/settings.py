"""Where Alipay behaves oddly, as switches. Every default is what the real gateway does."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from sandbox.surroundings import Settings, Surroundings


class AlipaySettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Beside those of every channel."""

    # An answer's `sign` with `/` written as `\/`, as nothing but the inner object has it.
    signature_is_escaped: bool = False
    # `body` and `passback_params` in a notify of a trade that has none: left out, or sent empty,
    # signed or not. Alipay's own SDKs disagree on both of the latter.
    notify_empty_fields: Literal["none", "signed", "unsigned"] = "none"
    # `refund_fee=0.00` in the notify of a payment. The real one has it often, not always.
    refund_fee_is_always_told: bool = True
    # The gateway's refusals, once it knows the app: signed. Those before that never are.
    gateway_refusals_are_signed: bool = True
    # A query (or pay) answers the lists and the amounts of the funds only to those who ask.
    lists_are_unasked: bool = False
    # A full refund closes the trade; that notify is off for 当面付 unless it was ordered.
    closed_is_notified: bool = False
    # Whether `SUCCESS` acknowledges a notify. Not known: the stricter reading.
    acknowledged_in_any_case: bool = False
    # Every payment from now on uses a voucher of so many fen that the merchant pays for.
    voucher_fen: Annotated[int, msgspec.Meta(ge=0)] = 0


World: TypeAlias = Surroundings[AlipaySettings]

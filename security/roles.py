"""Who may do what, as data.

Which rows a key may touch (its own store, its own merchant) is decided where rows are read.

Source: api.md "Request signing", last paragraph. Anything not in the table is 403 `not_permitted`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What a key was made for."""

    TERMINAL = "terminal"  # one till: the payments and refunds of its own store
    MERCHANT = "merchant"  # the merchant's ordering system: everything of its merchant
    FINANCE = "finance"  # the books: reads everything, moves no payment
    READ_ONLY = "read_only"  # looks, changes nothing


class Permission(StrEnum):
    """One thing a request may want to do."""

    PAYMENT_CREATE = "payment_create"  # POST /v1/payments, override included
    PAYMENT_READ = "payment_read"  # one, or the list
    PAYMENT_CANCEL = "payment_cancel"  # "do not let this payment succeed"
    REFUND_CREATE = "refund_create"  # money back to the diner
    REFUND_READ = "refund_read"  # one, of a payment, or the list
    EVENT_READ = "event_read"  # the feed of every change of the merchant
    WEBHOOK_READ = "webhook_read"  # list endpoints, never their secrets
    WEBHOOK_MANAGE = "webhook_manage"  # create, rotate, disable, resend


_READING: Final = frozenset(
    {
        Permission.PAYMENT_READ,
        Permission.REFUND_READ,
        Permission.EVENT_READ,
        Permission.WEBHOOK_READ,
    }
)

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.TERMINAL: frozenset(
            {
                Permission.PAYMENT_CREATE,
                Permission.PAYMENT_READ,
                Permission.PAYMENT_CANCEL,
                Permission.REFUND_CREATE,
                Permission.REFUND_READ,
            }
        ),
        Role.MERCHANT: frozenset(Permission),
        Role.FINANCE: _READING,
        Role.READ_ONLY: _READING,
    }
)

assert PERMISSIONS.keys() == set(Role), "every role has a row"


def may(role: Role, permission: Permission) -> bool:
    """Whether a key of this role may do this at all, to rows that are its own."""
    return permission in PERMISSIONS[role]

"""What people and keys do to the registries, and who they are: the words of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Act(StrEnum):
    """One kind of act; the value is what is stored."""

    MERCHANT_CREATE = "merchant.create"
    MERCHANT_RENAME = "merchant.rename"
    MERCHANT_DISABLE = "merchant.disable"
    MERCHANT_ENABLE = "merchant.enable"
    STORE_CREATE = "store.create"
    STORE_RENAME = "store.rename"
    STORE_DISABLE = "store.disable"
    STORE_ENABLE = "store.enable"
    STORE_OVERRIDES = "store.overrides"  # whether a supervisor may let another payment in
    STORE_CUTOFF = "store.cutoff"  # when its business day begins
    TERMINAL_CREATE = "terminal.create"
    TERMINAL_RENAME = "terminal.rename"
    TERMINAL_DISABLE = "terminal.disable"
    TERMINAL_ENABLE = "terminal.enable"
    KEY_ISSUE = "key.issue"
    KEY_ROTATE = "key.rotate"  # a second key for the holder of the one it names
    KEY_REVOKE = "key.revoke"
    KEY_LIMIT = "key.limit"  # what it gives back
    SUPERVISOR_CREATE = "supervisor.create"
    SUPERVISOR_RESET = "supervisor.reset"
    SUPERVISOR_DISABLE = "supervisor.disable"
    ACCOUNT_CREATE = "account.create"
    ACCOUNT_ROTATE = "account.rotate"
    ACCOUNT_ENABLE = "account.enable"
    ACCOUNT_DISABLE = "account.disable"
    ACCOUNT_PLACE = "account.place"
    ACCOUNT_DRAIN = "account.drain"
    ACCOUNT_UNDRAIN = "account.undrain"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_ROTATE = "webhook.rotate"
    WEBHOOK_ENABLE = "webhook.enable"
    WEBHOOK_DISABLE = "webhook.disable"
    WEBHOOK_MOVE = "webhook.move"
    ROUTING_SET = "routing.set"
    CASE_PROPOSE = "case.propose"  # what a person has found out, to be confirmed by another one
    CASE_CONFIRM = "case.confirm"
    CASE_UNCONFIRM = "case.unconfirm"  # it could not be applied; the proposal stands
    CASE_WITHDRAW = "case.withdraw"
    CASE_CLOSE = "case.close"
    RESTORED_BEGIN = "restored.begin"
    RESTORED_END = "restored.end"
    REKEY = "rekey"


@dataclass(frozen=True, slots=True)
class AskedBy:
    """Who asked for an act: a person by the name in the operating system, a key by its id, or the
    gateway itself.
    """

    kind: Literal["person", "key", "gateway"]
    name: str

    def __str__(self) -> str:
        """For people: `mei`, `key mk_1`."""
        return self.name if self.kind == "person" else f"{self.kind} {self.name}"

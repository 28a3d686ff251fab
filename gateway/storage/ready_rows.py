"""Rows of the directory made usable: secrets opened, channels built. It takes its time, so it
runs in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from gateway.domain.refund_limits import refund_limits
from gateway.domain.routing_rules import RuleFile, RuleSet
from gateway.flow.ports import ApiKey
from gateway.storage.built_accounts import Built, BuiltAccounts
from gateway.storage.directory_rows import (
    AccountRow,
    CutOffRow,
    KeyRow,
    MerchantRow,
    RestoredRow,
    Row,
    RulesRow,
    StoreRow,
    TerminalRow,
    WebhookRow,
)
from gateway.storage.registries.credentials import KEY_RIGHTS, key_about
from security.errors import NotOpenedHere
from security.key_material import KeyEnvironment
from security.redaction import Redaction
from security.secret import Secret
from security.vault import Vault

REDACTION = Redaction(())  # what keys and accounts are made from holds no payment code


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that was made usable, where that takes more than to read it; or the `problem`.

    `lacks`: this process is not equipped to open it, another one may be.
    """

    row: Row
    made: ApiKey | Built | RuleSet | None = None
    problem: str = ""
    lacks: bool = False


class ReadyRows:
    """One broken row is left out and reported; the others are used."""

    def __init__(self, vault: Vault, accounts: BuiltAccounts, *, takes_test_keys: bool) -> None:
        self._vault = vault
        self._accounts = accounts
        self._takes_test_keys = takes_test_keys

    def made(self, rows: Iterable[Row]) -> list[Ready]:
        """In the order of `rows`."""
        return [self._made(row) for row in rows]

    def _made(self, row: Row) -> Ready:
        try:
            match row:
                case KeyRow():
                    return Ready(row, self._key(row))
                case AccountRow():
                    return Ready(row, self._accounts.build(row))
                case RulesRow():
                    rules = msgspec.json.decode(row.rules, type=RuleFile).rules
                    return Ready(row, RuleSet(version=row.version, rules=rules))
                case MerchantRow() | StoreRow() | TerminalRow() | CutOffRow():
                    return Ready(row)
                case RestoredRow() | WebhookRow():
                    return Ready(row)
        except Exception as error:  # noqa: BLE001  a channel's builder may raise anything
            problem = REDACTION.text(f"{type(error).__name__}: {error}")
            return Ready(row, problem=problem, lacks=isinstance(error, NotOpenedHere))

    def _key(self, row: KeyRow) -> ApiKey:
        about = key_about(row.id, **{name: getattr(row, name) for name in KEY_RIGHTS})
        return ApiKey(
            id=row.id,
            merchant_id=row.merchant_id,
            store_id=row.store_id,
            terminal_id=row.terminal_id,
            role=row.role,
            secret=Secret(self._vault.open(row.sealed, about=about).decode()),
            revoked=row.revoked,
            misplaced=row.environment == KeyEnvironment.TEST and not self._takes_test_keys,
            refund_limits=refund_limits(row.role, row.refund_max, row.refund_day_max),
        )

"""A directory of one merchant, held in memory:
`gateway.flow.ports.Directory` for tests without a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from adapters.channel import Manifest
from gateway.domain.days import CutOff, Days
from gateway.domain.holder import Holder, HolderKind
from gateway.domain.routing_rules import RuleSet
from gateway.domain.words import Numbering
from gateway.flow.accounts import Account, LocalAccount, RemoteAccount, bill_days
from gateway.flow.ports import ApiKey


class Shelf:
    """`accounts` in order of priority."""

    def __init__(
        self,
        merchant_id: str,
        stores: Sequence[str],
        accounts: Sequence[Account],
        manifests: Mapping[str, Manifest],
    ) -> None:
        self.restored: datetime | None = None
        self.restored_began: datetime | None = None
        self._merchant_id, self._stores, self._accounts, self._manifests = (
            merchant_id,
            stores,
            accounts,
            manifests,
        )
        self.origins: frozenset[str] = frozenset()
        self.rule_set: RuleSet | None = None
        self.overridable = True
        self.holder: Holder | None = None  # the one that is disabled
        self.cut_offs: dict[tuple[str, str], tuple[CutOff, ...]] = {}

    def key(self, key_id: str) -> ApiKey | None:
        del key_id
        return None

    def account(self, account_id: str) -> Account | None:
        return next((account for account in self._accounts if account.id == account_id), None)

    def remote_account(self, account_id: str) -> RemoteAccount | None:
        account = self.account(account_id)
        return account if isinstance(account, RemoteAccount) else None

    def remote_accounts(self, merchant_id: str) -> Sequence[RemoteAccount]:
        return [each for each in self._of(merchant_id) if isinstance(each, RemoteAccount)]

    def local_accounts(self, merchant_id: str) -> Sequence[LocalAccount]:
        return [each for each in self._of(merchant_id) if isinstance(each, LocalAccount)]

    def _of(self, merchant_id: str) -> Sequence[Account]:
        return self._accounts if merchant_id == self._merchant_id else ()

    def numbering(self) -> Numbering:
        return Numbering.BY_STORE

    def days(self) -> Days:
        return Days(cut_offs=self.cut_offs, bills=bill_days(self._manifests))

    def rules(self, merchant_id: str, store_id: str) -> RuleSet | None:
        return (
            self.rule_set if merchant_id == self._merchant_id and store_id in self._stores else None
        )

    def webhook_origins(self, merchant_id: str) -> frozenset[str]:
        return self.origins if merchant_id == self._merchant_id else frozenset()

    def disabled(
        self, merchant_id: str, store_id: str | None, terminal_id: str | None = None
    ) -> Holder | None:
        asked = {
            Holder(HolderKind.MERCHANT, merchant_id, merchant_id),
            Holder(HolderKind.STORE, merchant_id, store_id or ""),
            Holder(HolderKind.TERMINAL, merchant_id, terminal_id or ""),
        }
        return self.holder if self.holder in asked else None

    def store_exists(self, merchant_id: str, store_id: str) -> bool:
        return merchant_id == self._merchant_id and store_id in self._stores

    def overrides_allowed(self, merchant_id: str, store_id: str) -> bool:
        return self.store_exists(merchant_id, store_id) and self.overridable

    def manifests(self) -> Mapping[str, Manifest]:
        return self._manifests

    def restored_from(self) -> datetime | None:
        return self.restored

    def restored_at(self) -> datetime | None:
        return self.restored_began

    def fresh(self) -> bool:
        return True

"""The merchants, stores and terminals that are disabled, as the directory last read them."""

from __future__ import annotations

from gateway.domain.holder import Holder, HolderKind
from gateway.storage.directory_rows import HolderRow


class DisabledHolders:
    """Few, and mostly none."""

    def __init__(self) -> None:
        self._holders: set[Holder] = set()

    def take(self, row: HolderRow) -> None:
        """As its row says now."""
        if row.disabled:
            self._holders.add(row.holder)
        else:
            self.forget(row)

    def forget(self, row: HolderRow) -> None:
        """The row does not exist any more."""
        self._holders.discard(row.holder)

    def widest(
        self, merchant_id: str, store_id: str | None, terminal_id: str | None
    ) -> Holder | None:
        """The first of the three that is disabled."""
        if not self._holders:
            return None
        widest_first = (
            Holder(HolderKind.MERCHANT, merchant_id, merchant_id),
            Holder(HolderKind.STORE, merchant_id, store_id or ""),
            Holder(HolderKind.TERMINAL, merchant_id, terminal_id or ""),
        )
        return next((holder for holder in widest_first if holder in self._holders), None)

"""Cases of the store in memory, and what persons have found out about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.domain.audit import AskedBy
from gateway.domain.case import Case, CaseKind, Finding
from gateway.domain.errors import NoSuchObject
from gateway.flow.ports import StoreRefused
from tests.fakes.store_rules import CHECK
from tests.fakes.store_tables import KeptCase, MemoryTables


class MemoryCases(MemoryTables):
    """The part of `gateway.flow.ports.Store` that is about cases, and `CaseFindings`."""

    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        """One open case per kind, object and refund."""
        return self.open_case_now(merchant_id, object_id, case)

    def open_case_now(self, merchant_id: str, object_id: str, case: Case) -> bool:
        about = (merchant_id, object_id, case.name, case.refund_id)
        for kept in self.cases:
            same = (kept.merchant_id, kept.object_id, kept.case.name, kept.case.refund_id) == about
            is_known = (kept.merchant_id, kept.case.id) == (merchant_id, case.id)
            if (same and kept.closed is None) or is_known:
                return False
        self.cases.append(KeptCase(merchant_id, object_id, case))
        return True

    async def close_case(
        self, case_id: str, *, closed_by: AskedBy, reason: str, now: datetime
    ) -> None:
        """Raises `NotFound` when no such case is open."""
        kept = self._open_one(case_id)
        if kept is None:
            raise NoSuchObject(f"no open case {case_id}")
        if (kept.proposed is None) != (kept.confirmed_by is None):
            raise StoreRefused(CHECK, "closed_as_confirmed")
        self._change(kept, closed=(now, str(closed_by), reason))

    async def settle_case(
        self, merchant_id: str, object_id: str, kind: CaseKind, *, reason: str, now: datetime
    ) -> None:
        """If there is one, and no person has a finding about it."""
        about = (merchant_id, object_id, kind, None, None)
        for kept in list(self.cases):
            found = (kept.merchant_id, kept.object_id, kept.case.name, kept.closed, kept.proposed)
            if found == about:
                self._change(kept, closed=(now, "tillgate", reason))

    async def propose_finding(
        self, case_id: str, finding: Finding, *, by: AskedBy, reason: str, now: datetime
    ) -> bool:
        kept = self._open_one(case_id)
        if kept is None or kept.proposed is not None:
            return False
        self._change(kept, proposed=(finding, str(by)))
        return True

    async def confirm_finding(self, case_id: str, finding: Finding, *, by: AskedBy) -> bool:
        kept = self._open_one(case_id)
        if kept is None or kept.proposed is None or kept.proposed[0] != finding:
            return False
        if kept.proposed[1] == str(by):
            raise StoreRefused(CHECK, "two_persons")
        self._change(kept, confirmed_by=str(by))
        return True

    async def unconfirm_finding(self, case_id: str, *, by: AskedBy) -> None:
        del by
        kept = self._open_one(case_id)
        if kept is not None:
            self._change(kept, confirmed_by=None)

    async def withdraw_finding(self, case_id: str, *, by: AskedBy) -> bool:
        del by
        kept = self._open_one(case_id)
        if kept is None or kept.proposed is None or kept.confirmed_by is not None:
            return False
        self._change(kept, proposed=None)
        return True

    def _open_one(self, case_id: str) -> KeptCase | None:
        return next((k for k in self.cases if k.case.id == case_id and k.closed is None), None)

    def _change(self, kept: KeptCase, **fields: Any) -> None:
        self.cases[self.cases.index(kept)] = replace(kept, **fields)

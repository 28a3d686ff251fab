"""The desk for what a person has to look at: each case is stored, counted and logged here, under
one name. The alarms wait for `tillgate_cases_total` and for `case_opened` in the log.

Of one kind, one case at a time is open about an object: what stands open already is neither counted
nor logged again.

It stands beside the flow and the webhooks, which do not know each other and both open cases.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from gateway.domain.case import Case
from gateway.telemetry.metrics import CASES

log = structlog.get_logger("tillgate.cases")


class CaseBook(Protocol):
    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        """False when a case of this kind is open about the object already."""
        ...


async def open_case(book: CaseBook, merchant_id: str, object_id: str, case: Case) -> None:
    """A case by itself."""
    if await book.open_case(merchant_id, object_id, case):
        announce(object_id, case)


def announce(object_id: str, case: Case) -> None:
    """A case that the store has opened together with a change."""
    CASES.labels(case.name).inc()
    log.error("case_opened", kind=case.name, about=object_id, case=case.id)

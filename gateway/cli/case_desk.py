"""Where a command decides about a case: the flow's desk on the installation of the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.flow.case_closing import CaseClosing, OpenCase
from gateway.flow.ports import Directory
from gateway.settings import Settings
from gateway.storage.books.case_list import CaseListing


@asynccontextmanager
async def case_desk(settings: Settings) -> AsyncIterator[tuple[CaseClosing, Directory]]:
    """The desk, and who there is."""
    from gateway.composition import case_closing, gateway  # noqa: PLC0415  the drivers, only once the settings are right

    async with gateway(settings) as world:
        yield case_closing(world), world.directory


def open_case(found: CaseListing) -> OpenCase:
    """What the desk needs of a listed case."""
    return OpenCase(
        id=found.id,
        merchant_id=found.merchant_id,
        object_id=found.object_id,
        attempt_id=found.attempt_id,
        refund_id=found.refund_id,
        proposed_as=found.proposed_as,
        proposed_by=found.proposed_by,
    )

"""What the edge itself has kept, in memory: webhook endpoints, and signatures that have acted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.domain.audit import AskedBy
from gateway.webhooks.endpoints import (
    DeliveryFilter,
    DeliveryRecord,
    Endpoint,
    Issued,
    WantedEndpoint,
)
from security.secret import Secret

CREATED_AT = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class FakeSignatureBook:
    """Signatures in a dictionary."""

    def __init__(self) -> None:
        self.used: dict[tuple[tuple[str, str], str], tuple[int, bytes] | None] = {}

    async def take(self, owner: tuple[str, str], sig: str) -> bool:
        is_new = (owner, sig) not in self.used
        self.used.setdefault((owner, sig))
        return is_new

    async def answer(self, owner: tuple[str, str], sig: str) -> tuple[int, bytes] | None:
        return self.used.get((owner, sig))

    async def keep(self, owner: tuple[str, str], sig: str, status: int, body: bytes) -> None:
        self.used[owner, sig] = status, body

    async def forget(self, owner: tuple[str, str], sig: str) -> None:
        self.used.pop((owner, sig), None)


class FakeEndpointBook:
    """Webhook endpoints of every merchant in a list, and no delivery."""

    def __init__(self) -> None:
        self.kept: list[tuple[WantedEndpoint, Endpoint]] = []

    async def create(self, draft: WantedEndpoint) -> Issued:
        for known, endpoint in self.kept:
            if (known.merchant_id, known.idempotency_key) == (
                draft.merchant_id,
                draft.idempotency_key,
            ):
                return Issued(endpoint, None)
        endpoint = Endpoint(
            id=f"whe_{len(self.kept) + 1}",
            merchant_id=draft.merchant_id,
            url=draft.url,
            event_types=draft.event_types,
            concurrency=draft.concurrency,
            enabled=True,
            disabled_reason=None,
            rotating_until=None,
            created_at=CREATED_AT,
        )
        self.kept.append((draft, endpoint))
        return Issued(endpoint, Secret("whsec_new"))

    async def endpoints(self, merchant_id: str) -> Sequence[Endpoint]:
        return [endpoint for _, endpoint in self.kept if endpoint.merchant_id == merchant_id]

    async def page(
        self, merchant_id: str, starting_after: str | None, limit: int
    ) -> Sequence[Endpoint]:
        mine = await self.endpoints(merchant_id)
        names = [each.id for each in mine]
        begin = names.index(starting_after) + 1 if starting_after else 0
        return mine[begin : begin + limit + 1]

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint | None:
        return next(
            (each for each in await self.endpoints(merchant_id) if each.id == endpoint_id), None
        )

    async def rotate(self, merchant_id: str, endpoint_id: str, asked_by: AskedBy) -> Issued | None:
        endpoint = await self.endpoint(merchant_id, endpoint_id)
        return Issued(endpoint, Secret("whsec_newer")) if endpoint else None

    async def disable(
        self, merchant_id: str, endpoint_id: str, reason: str, asked_by: AskedBy
    ) -> Endpoint | None:
        return await self._placed(merchant_id, endpoint_id, enabled=False, disabled_reason=reason)

    async def enable(
        self, merchant_id: str, endpoint_id: str, asked_by: AskedBy
    ) -> Endpoint | None:
        return await self._placed(merchant_id, endpoint_id, enabled=True, disabled_reason=None)

    async def deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> Sequence[DeliveryRecord]:
        return []

    async def resend(self, merchant_id: str, endpoint_id: str, event_id: str) -> bool:
        return event_id == "evt_1"

    async def resend_dead(self, merchant_id: str, endpoint_id: str, since: datetime) -> int:
        return 3

    async def _placed(self, merchant_id: str, endpoint_id: str, **fields: Any) -> Endpoint | None:
        for place, (draft, endpoint) in enumerate(self.kept):
            if (endpoint.merchant_id, endpoint.id) == (merchant_id, endpoint_id):
                self.kept[place] = (draft, replace(endpoint, **fields))
                return self.kept[place][1]
        return None

"""Supervisors: who they are, and the proof that one stands at the till."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.errors import SupervisorLocked, SupervisorRefused, SupervisorWaits
from gateway.flow.commands import Caller
from gateway.limits import (
    SUPERVISOR_FAILURES_MAX,
    SUPERVISOR_WAIT_S_MAX,
    SUPERVISOR_WAIT_S_MIN,
)
from gateway.storage.reader import Reader
from gateway.storage.registries.people import RegistryError, RegistryWriter, chosen_id
from security.pin import hash_pin, is_pin, new_pin
from security.secret import Secret

FIND = """SELECT s.pin_hash, s.failures, s.store_id, s.disabled_at IS NOT NULL AS disabled,
  extract(epoch FROM t.again_at - now())::float AS waits_s
FROM supervisor s LEFT JOIN supervisor_try t
  ON (t.merchant_id, t.supervisor_id, t.place) = (s.merchant_id, s.id, $3)
WHERE s.merchant_id = $1 AND s.id = $2"""

# A try counts as wrong before the PIN is looked at: tries that come together cannot all be the
# first. A right PIN takes the count back.
COUNT = """WITH counted AS (
  INSERT INTO supervisor_try AS t (merchant_id, supervisor_id, place, failures, again_at)
  VALUES ($1, $2, $3, 1, now() + make_interval(secs => $4::float8))
  ON CONFLICT (merchant_id, supervisor_id, place) DO UPDATE
  SET failures = t.failures + 1,
      again_at = now()
        + make_interval(secs => least($4::float8 * 2::float8 ^ least(t.failures, 30), $5::float8))
  WHERE t.again_at <= now()
  RETURNING 1
)
UPDATE supervisor SET failures = failures + 1
WHERE merchant_id = $1 AND id = $2 AND failures < $6 AND EXISTS (SELECT FROM counted)
RETURNING id"""

RIGHT = """WITH forgotten AS (
  DELETE FROM supervisor_try WHERE merchant_id = $1 AND supervisor_id = $2
)
UPDATE supervisor SET failures = 0 WHERE merchant_id = $1 AND id = $2 RETURNING id"""

NEW = """INSERT INTO supervisor (merchant_id, id, store_id, name, pin_hash)
VALUES ($1, $2, $3, $4, $5)"""

RESET = """WITH forgotten AS (
  DELETE FROM supervisor_try WHERE merchant_id = $1 AND supervisor_id = $2
)
UPDATE supervisor SET pin_hash = $3, failures = 0, disabled_at = NULL
WHERE merchant_id = $1 AND id = $2 RETURNING id"""

DISABLE = """UPDATE supervisor SET disabled_at = coalesce(disabled_at, now())
WHERE merchant_id = $1 AND id = $2 RETURNING id"""

LIST = """SELECT id, store_id, name, failures, disabled_at, created_at FROM supervisor
WHERE merchant_id = $1 ORDER BY created_at, id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """A person who may let another payment in. `store_id` None: in every store."""

    id: str
    store_id: str | None
    name: str
    failures: int
    disabled_at: datetime | None
    created_at: datetime

    @property
    def state(self) -> str:
        """One word for a list."""
        if self.disabled_at is not None:
            return "disabled"
        return "locked" if self.failures >= SUPERVISOR_FAILURES_MAX else "ready"


class SupervisorProof(Reader):
    """`Supervisors` of gateway.flow.open.order_desk on PostgreSQL."""

    async def prove(self, caller: Caller, store_id: str, supervisor_id: str, pin: Secret) -> None:
        """See `Supervisors`."""
        place = caller.terminal_id or caller.key_id
        person = (caller.merchant_id, supervisor_id)
        found = await self._row(FIND, *person, place)
        if found is None or found["disabled"] or found["store_id"] not in (None, store_id):
            await asyncio.to_thread(hash_pin, pin)  # as long as for a person who exists
            raise SupervisorRefused
        if found["failures"] >= SUPERVISOR_FAILURES_MAX:
            raise SupervisorLocked
        counted = await self._row(
            COUNT,
            *person,
            place,
            float(SUPERVISOR_WAIT_S_MIN),
            float(SUPERVISOR_WAIT_S_MAX),
            SUPERVISOR_FAILURES_MAX,
        )
        if counted is None:
            raise SupervisorWaits
        if not await asyncio.to_thread(is_pin, pin, found["pin_hash"]):
            raise SupervisorRefused
        await self._row(RIGHT, *person)


class SupervisorRegistry(RegistryWriter):
    """Supervisors, written. Raises RegistryError."""

    async def create(
        self, merchant_id: str, name: str, supervisor_id: str | None, store_id: str | None
    ) -> tuple[str, Secret]:
        """(the id, the PIN, which is shown once)."""
        chosen, pin = chosen_id(supervisor_id) or self._ids.new("sup"), new_pin()
        async with self._writing(f"supervisor {chosen}") as connection:
            await connection.execute(NEW, merchant_id, chosen, store_id, name, hash_pin(pin))
        return chosen, pin

    async def reset(self, merchant_id: str, supervisor_id: str) -> Secret:
        """A new PIN; wrong ones are forgotten, and who was disabled is not any more."""
        pin = new_pin()
        await self._changed(RESET, merchant_id, supervisor_id, hash_pin(pin))
        return pin

    async def disable(self, merchant_id: str, supervisor_id: str) -> None:
        """The PIN proves nothing any more."""
        await self._changed(DISABLE, merchant_id, supervisor_id)

    async def supervisors(self, merchant_id: str) -> list[Supervisor]:
        """A merchant's, oldest first."""
        return [Supervisor(**dict(row)) for row in await self._fetch(LIST, merchant_id)]

    async def _changed(self, sql: str, merchant_id: str, supervisor_id: str, *more: str) -> None:
        about = f"supervisor {supervisor_id} of merchant {merchant_id}"
        async with self._writing(about) as connection:
            if await connection.fetchrow(sql, merchant_id, supervisor_id, *more) is None:
                raise RegistryError(f"there is no {about}")

"""Claims in memory: a verified fake of `gateway.flow.ports.Claims`,
held to Redis by tests/contract.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.limits import CLAIM_TTL_MS


class MemoryClaims:
    """`gateway.flow.ports.Claims` of one process. `reachable` False: as if Redis were gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}
        self.reachable = True

    async def take(self, key: str, token: str) -> bool | None:
        """See the port."""
        if not self.reachable:
            return None
        now = self._clock.monotonic()
        if key in self._held and self._held[key][1] > now:
            return False
        self._held[key] = (token, now + CLAIM_TTL_MS / 1000)
        return True

    def release(self, key: str, token: str) -> None:
        """See the port."""
        if self.reachable and self._held.get(key, ("", 0.0))[0] == token:
            del self._held[key]

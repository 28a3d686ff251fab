"""Endpoints that fail again and again rest: the circuit breaker of webhooks, one for each endpoint,
kept by each courier for itself.

closed    everything is sent
resting   nothing is sent; what falls due is put off without a try
probing   the rest is over: one try, and one only, decides between closed and a longer rest

Why: after an outage of a merchant with a long queue, every row falls due by its own backoff.
Without a rest each of them would wait for its own timeout, again and again, and hold a slot that
others need. Only endpoints that fail are remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clock import Clock
from gateway.limits import WEBHOOK_FAILURES_MAX, WEBHOOK_REST_MS_MAX, WEBHOOK_REST_MS_MIN


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    rests: int = 0
    until: float = 0.0
    probing: bool = False
    words: str = ""


class EndpointRest:
    """Keyed by endpoint id. Times are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def refusal(self, endpoint_id: str) -> tuple[int, str] | None:
        """None: send, and say afterwards how it went.

        Else how long to wait (ms, at least 1) and why, in words for the delivery log.
        """
        circuit = self._circuits.get(endpoint_id)
        if circuit is None or (circuit.until == 0.0 and not circuit.probing):
            return None
        left_ms = int((circuit.until - self._clock.monotonic()) * 1000)
        if left_ms > 0 or circuit.probing:
            return (
                max(left_ms, 1),
                (
                    f"not sent: the endpoint rests after {circuit.failures} failures in a row, "
                    f"the last: {circuit.words}"
                ),
            )
        circuit.probing = True
        return None

    def forget(self, endpoint_id: str) -> None:
        """It answered well, or wants nothing more."""
        self._circuits.pop(endpoint_id, None)

    def failed(self, endpoint_id: str, words: str, asked_ms: int = 0) -> None:
        """One more failure; with `asked_ms` the endpoint asked for quiet and gets it at once."""
        circuit = self._circuits.setdefault(endpoint_id, _Circuit())
        circuit.failures += 1
        circuit.words = words
        if not asked_ms and circuit.failures < WEBHOOK_FAILURES_MAX:
            return
        now = self._clock.monotonic()
        if circuit.until > now and not asked_ms:
            return  # tries that were under way when the rest began are no reason for a longer one
        rest_ms = max(
            asked_ms, min(WEBHOOK_REST_MS_MAX, WEBHOOK_REST_MS_MIN * 2 ** min(circuit.rests, 16))
        )
        circuit.rests += 1
        circuit.until = max(circuit.until, now + rest_ms / 1000)
        circuit.probing = False

    def not_sent(self, endpoint_id: str) -> None:
        """A try that was allowed and did not happen says nothing: the next one may be the probe."""
        if circuit := self._circuits.get(endpoint_id):
            circuit.probing = False

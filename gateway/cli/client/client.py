"""A small signed client of the public API: what a till's software would do, in one screen.

Used by `tillgate pay`, `refund` and `query`, by the tour and by tests. It never repeats a request
by itself: whoever calls decides, with the same Idempotency-Key, which is always safe.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from security.secret import Secret
from security.till_signature import authorization_header

ANSWER_TIMEOUT_S = 40.0  # longer than the longest long poll


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `document` is the decoded body, of a problem too; `text` the body as it came."""

    status: int
    headers: Mapping[str, str]
    document: Any
    text: str

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  the class of successes

    @property
    def replayed(self) -> bool:
        """The payment existed before this request."""
        return self.headers.get("Idempotency-Replayed") == "true"


class Client:
    """Holds one API key and one connection pool; use as an async context manager.

    Failures of the network are aiohttp's own.
    """

    def __init__(self, base_url: str, key_id: str, secret: Secret) -> None:
        self.base_url = base_url.rstrip("/")
        self._key_id = key_id
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pay(
        self, payment: Mapping[str, Any], key: str, *, wait_s: int | None = None
    ) -> Answer:
        """`POST /v1/payments`; `currency` is filled in."""
        return await self.call(
            "POST", "/v1/payments", {"currency": "CNY", **payment}, key=key, wait_s=wait_s
        )

    async def payment(self, payment_id: str, *, wait_s: int | None = None) -> Answer:
        """`GET /v1/payments/{id}`; with `wait_s` it long-polls until a reader sees a change."""
        return await self.call(
            "GET", f"/v1/payments/{payment_id}" + (f"?wait={wait_s}" if wait_s else "")
        )

    async def payments(self, **wanted: str | int | None) -> Answer:
        """`GET /v1/payments?…`."""
        return await self.call("GET", _with_query("/v1/payments", wanted))

    async def cancel(self, payment_id: str, *, wait_s: int | None = None) -> Answer:
        """`POST /v1/payments/{id}/cancel`."""
        return await self.call("POST", f"/v1/payments/{payment_id}/cancel", wait_s=wait_s)

    async def refund(
        self, payment_id: str, refund: Mapping[str, Any], key: str, *, wait_s: int | None = None
    ) -> Answer:
        """`POST /v1/payments/{id}/refunds`."""
        return await self.call(
            "POST", f"/v1/payments/{payment_id}/refunds", refund, key=key, wait_s=wait_s
        )

    async def refund_state(self, refund_id: str, *, wait_s: int | None = None) -> Answer:
        """`GET /v1/refunds/{id}`; `wait_s` as for a payment."""
        return await self.call(
            "GET", f"/v1/refunds/{refund_id}" + (f"?wait={wait_s}" if wait_s else "")
        )

    async def call(
        self,
        method: str,
        path_qs: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        wait_s: int | None = None,
    ) -> Answer:
        """One signed request. `path_qs` goes out as it is; `key` is the Idempotency-Key."""
        assert self._session is not None, "use the client as a context manager"
        raw = (
            b""
            if body is None
            else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        )
        headers = {"Authorization": self._signature(method, path_qs, key, raw)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}"
        url = URL(self.base_url + path_qs, encoded=True)
        async with self._session.request(
            method, url, data=raw or None, headers=headers, allow_redirects=False
        ) as response:
            text = await response.text()
            return Answer(response.status, response.headers, _decoded(text), text)

    def _signature(self, method: str, path_qs: str, key: str | None, body: bytes) -> str:
        return authorization_header(
            self._key_id,
            self._secret,
            method=method,
            path_qs=path_qs,
            ts=int(time.time()),
            idempotency_key=key,
            body=body,
        )


def _with_query(path: str, wanted: Mapping[str, str | int | None]) -> str:
    query = urlencode(
        {name.rstrip("_"): value for name, value in wanted.items() if value is not None}
    )
    return f"{path}?{query}" if query else path


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"detail": text[:200]}

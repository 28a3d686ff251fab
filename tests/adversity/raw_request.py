"""Requests that no client of ours would make: any bytes, any headers, any signature."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from security.till_signature import authorization_header
from tests.world import Shop, order_no

Said = tuple[int, Any]


async def sent(
    quiet: Shop,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    signer: Any = None,
    key: str | None = None,
) -> Said:
    """(status, document) of one raw request, signed by the till unless `headers` carry an
    Authorization of their own.
    """
    key_id, secret = signer or quiet.books.terminal
    given = {"Idempotency-Key": key} if key is not None else {}
    given["Authorization"] = authorization_header(
        key_id,
        secret,
        method=method,
        path_qs=path,
        ts=int(time.time()),
        idempotency_key=key,
        body=body,
    )
    given |= headers or {}
    url = URL(quiet.base_url + path, encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body or None, headers=given) as answer,
    ):
        text = await answer.read()
        return answer.status, json.loads(text) if text else None


def pay_body(**fields: Any) -> bytes:
    return json.dumps(
        {"order_no": order_no(), "amount": 700, "currency": "CNY", "method": "cash"} | fields
    ).encode()


def filled(path: str, payment_id: str, refund_id: str) -> str:
    return (
        path.replace("{payment_id}", payment_id)
        .replace("{refund_id}", refund_id)
        .replace("{endpoint_id}", "whe_x")
    )

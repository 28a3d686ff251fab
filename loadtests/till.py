"""Pay requests as tills send them, prebuilt and signed."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from security.secret import Secret
from security.till_signature import authorization_header

PATH = "/v1/payments"
_numbers = itertools.count(1)


def payment(method: str, number: int, ending: str = "00") -> dict[str, Any]:
    """A body nobody has sent before.

    `ending` is the magic of the payment code's last two digits.
    """
    stems = {"alipay": "28", "wechat": "13"}
    how = (
        {"method": "cash"}
        if method == "cash"
        else {"auth_code": f"{stems[method]}{number % 10**14:014d}{ending}"}
    )
    return {
        "order_no": f"L{time.time_ns():x}-{number}",
        "amount": 100 + number % 20_000,
        "currency": "CNY",
        **how,
    }


def authorization(key: Mapping[str, str], idempotency_key: str, body: bytes) -> str:
    """The header of one pay request, signed now."""
    return authorization_header(
        key["id"],
        Secret(key["secret"]),
        method="POST",
        path_qs=PATH,
        ts=int(time.time()),
        idempotency_key=idempotency_key,
        body=body,
    )


def wire(key: Mapping[str, str], idempotency_key: str, body: bytes) -> bytes:
    """The whole request as it goes over the wire."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: till\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Idempotency-Key: {idempotency_key}\r\n"
        f"Authorization: {authorization(key, idempotency_key, body)}\r\n\r\n"
    )
    return head.encode() + body


def prebuilt(key: Mapping[str, str], method: str, count: int) -> Iterator[bytes]:
    """`count` different payments."""
    bodies = (payment(method, next(_numbers)) for _ in range(count))
    return iter([wire(key, body["order_no"], json.dumps(body).encode()) for body in bodies])

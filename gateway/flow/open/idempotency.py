"""Same key, same body: the same payment.

Same key, other body: named and refused. Postgres decides; Redis only saves the work.

"Same body" compares decoded fields with defaults filled in. Plain values of harmless fields are
kept, secrets as keyed digests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.clock import Ids
from gateway.domain.errors import Disabled, FieldInvalid, IdempotencyKeyReused
from gateway.domain.presenting import Digest, Flow
from gateway.domain.tender import Tender
from gateway.flow.commands import Caller, OverrideCommand, PayCommand
from gateway.flow.ports import Claims, Directory, KeyTaken, Store
from gateway.flow.visible import visible
from gateway.limits import HELD_LOOKS_MAX, HELD_PAUSE_MS, QR_EXPIRES_S_DEFAULT

_encode = msgspec.json.encode


def fingerprint(command: PayCommand, store_id: str, digest: Digest) -> bytes:
    """What is compared when the key comes again. `store_id`: the store for which it came."""
    return _encode(
        {
            "order_no": command.order_no,
            "tender_no": command.tender_no,
            "amount": command.amount,
            "currency": command.currency,
            "method": command.method,
            "flow": command.given.flow,
            "auth_code": None,
            "cash": None,
            "expires_in": None,
            **command.given.compared(digest),
            "store_id": store_id,
            "operator_id": command.operator_id,
            "description": command.description,
            "metadata": command.metadata,
            "notify_url": command.notify_url,
            "order_amount": command.order_amount,
            "override": _override(command.override, digest),
        }
    )


def _override(asked: OverrideCommand | None, digest: Digest) -> dict[str, str] | None:
    if asked is None:
        return None
    return {
        "payment_id": asked.payment_id,
        "supervisor_id": asked.supervisor_id,
        "reason": asked.reason,
        "pin": digest("supervisor_pin", asked.pin.reveal()),
    }


def same_body_or_refuse(bound: KeyTaken, ours: bytes, caller: Caller) -> None:
    """Raises `IdempotencyKeyReused` with the bound payment, naming the first field that differs.

    Who may not see the payment learns nothing of it: not even which field is the same.
    """
    if not visible(caller, bound.payment):
        raise IdempotencyKeyReused
    if bound.fingerprint == ours:
        return
    theirs: dict[str, Any] = msgspec.json.decode(bound.fingerprint)
    if theirs.get("flow") == Flow.QR and theirs.get("expires_in") is None:
        theirs["expires_in"] = QR_EXPIRES_S_DEFAULT  # written before defaults were filled in
    mine: dict[str, Any] = msgspec.json.decode(ours)
    names = {**mine, **theirs}  # in the order of ours
    field = next((name for name in names if mine.get(name) != theirs.get(name)), None)
    if field is None:
        return  # the same values in another order of metadata keys
    raise IdempotencyKeyReused(
        f"the field {field} differs from the first request with this key: "
        f"take a new key for another request",
        zh=f"字段 {field} 与该幂等键的首次请求不同，另一请求请使用新的幂等键",
        field=field,
        payment=bound.payment,
    )


async def refuse_foreign_notify_url(
    command: PayCommand, tender: Tender, key: str, directory: Directory, store: Store
) -> None:
    """Raises `FieldInvalid` unless an enabled webhook endpoint has the origin.

    No I/O for a good one.

    A bound key is let through: its payment stands, whatever was disabled since, and must not be
    refused.
    """
    url = command.notify_url
    if url is None or any(
        url.startswith(f"{origin}/") for origin in directory.webhook_origins(tender.merchant_id)
    ):
        return
    if await store.payment_by_key(tender.merchant_id, tender.store_id, key) is None:
        raise FieldInvalid(
            "no enabled webhook endpoint of yours has this scheme, host and port: create one first",
            zh="没有已启用的回调地址与其协议、主机和端口相同，请先创建",
            field="notify_url",
        )


async def refuse_disabled_store(
    tender: Tender, key: str, directory: Directory, store: Store
) -> None:
    """Raises `Disabled`, where a merchant's server pays for a store that was disabled.

    A bound key is let through, as above.
    """
    holder = directory.disabled(tender.merchant_id, tender.store_id)
    if holder is None:
        return
    if await store.payment_by_key(tender.merchant_id, tender.store_id, key) is None:
        raise Disabled.of(holder)


class KeyDesk:
    """The claim in Redis around one remote payment."""

    def __init__(self, store: Store, claims: Claims, ids: Ids) -> None:
        self._store, self._claims, self._ids = store, claims, ids

    async def take(self, tender: Tender, key: str) -> tuple[str | None, KeyTaken | None]:
        """(token to release, what the key is bound to).

        Both None: go on without a claim, Postgres decides.
        """
        token = self._ids.token()
        taken = await self._claims.take(_name(tender, key), token)
        if taken is not False:
            return (token if taken else None), None
        # Another worker carries this very request: its row is about to appear.
        for _ in range(HELD_LOOKS_MAX):
            bound = await self._store.payment_by_key(tender.merchant_id, tender.store_id, key)
            if bound is not None:
                return None, bound
            await asyncio.sleep(HELD_PAUSE_MS / 1000)
        return None, None

    def release(self, tender: Tender, key: str, token: str | None) -> None:
        """After the row is durable, or after nothing was written. The payment does not wait."""
        if token is not None:
            self._claims.release(_name(tender, key), token)


def _name(tender: Tender, key: str) -> str:
    """No store's id holds a colon, so no two names are equal."""
    return f"{{{tender.merchant_id}}}:pay:{tender.store_id}:{key}"

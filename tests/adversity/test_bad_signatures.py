"""Forged, stale, revoked or missing signatures: refused with a reason, and no row changes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.clock import SystemIds
from gateway.http.routes import ROUTES
from gateway.limits import DIRECTORY_AGE_MS_MAX
from gateway.storage.connections import read_pool
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from security.secret import Secret
from security.till_signature import authorization_header
from security.vault import Vault
from tests.adversity.house import until
from tests.adversity.quiet_shop import knows_key
from tests.adversity.raw_request import filled, pay_body, sent
from tests.adversity.tables import digests
from tests.world import MASTER, TESTER, Shop


def forged(quiet: Shop, **changed: Any) -> str:
    """A signature that would be right if what it was made over had been sent."""
    key_id, secret = changed.pop("signer", quiet.books.terminal)
    what: dict[str, Any] = {
        "method": "POST",
        "path_qs": "/v1/payments",
        "ts": int(time.time()),
        "idempotency_key": "forged",
        "body": FORGED_BODY,
    } | changed
    return authorization_header(key_id, secret, **what)


FORGED_BODY = b'{"order_no":"T-forged","amount":700,"currency":"CNY","method":"cash"}'
OTHER_SECRET = Secret("sk_test_0123456789abcdef0123456789abcdef")
SIGNATURES: list[tuple[str, Any, str]] = [
    (
        "other body",
        lambda t: forged(t, body=FORGED_BODY.replace(b"700", b"1")),
        "signature_invalid",
    ),
    ("other path", lambda t: forged(t, path_qs="/v1/payments?x=1"), "signature_invalid"),
    ("other method", lambda t: forged(t, method="PUT"), "signature_invalid"),
    ("other key", lambda t: forged(t, idempotency_key="forged-2"), "signature_invalid"),
    ("no key signed", lambda t: forged(t, idempotency_key=None), "signature_invalid"),
    (
        "other secret",
        lambda t: forged(t, signer=(t.books.terminal[0], OTHER_SECRET)),
        "signature_invalid",
    ),
    (
        "the office's secret",
        lambda t: forged(t, signer=(t.books.terminal[0], t.books.merchant[1])),
        "signature_invalid",
    ),
    ("key nobody has", lambda t: forged(t, signer=("key_nobody", OTHER_SECRET)), "key_unknown"),
    ("an hour old", lambda t: forged(t, ts=int(time.time()) - 3_600), "signature_expired"),
    ("from the future", lambda t: forged(t, ts=int(time.time()) + 3_600), "signature_expired"),
    ("just too old", lambda t: forged(t, ts=int(time.time()) - 302), "signature_expired"),
    ("nothing", lambda t: "", "signature_invalid"),
    ("another scheme", lambda t: "Basic dXNlcjpwYXNz", "signature_invalid"),
    (
        "no signature",
        lambda t: f'TILLGATE-HMAC-SHA256 key="{t.books.terminal[0]}",ts={int(time.time())}',
        "signature_invalid",
    ),
    ("cut", lambda t: forged(t)[:-4] + '"', "signature_invalid"),
    ("twice in one", lambda t: f"{forged(t)},{forged(t)}", "signature_invalid"),
    ("a novel", lambda t: forged(t) + "x" * 2_000, "signature_invalid"),
]


@pytest.mark.parametrize(
    ("authorization", "problem"),
    [line[1:] for line in SIGNATURES],
    ids=[line[0] for line in SIGNATURES],
)
async def test_signatures(quiet: Shop, authorization: Any, problem: str):
    before = await digests(quiet.books.dsn)
    status, document = await sent(
        quiet,
        "POST",
        "/v1/payments",
        FORGED_BODY,
        key="forged",
        headers={"Authorization": authorization(quiet)},
    )
    assert (status, document["code"]) == (401, problem), document
    assert ("server_time" in document) == (problem == "signature_expired")
    assert await digests(quiet.books.dsn) == before


async def test_every_signed_route_refuses_the_unsigned(quiet: Shop):
    before = await digests(quiet.books.dsn)
    for route in ROUTES:
        status, document = await sent(
            quiet,
            route.method,
            filled(route.path, "pay_x", "ref_x"),
            headers={"Authorization": ""},
            key="k",
        )
        assert (status, document["code"]) == (401, "signature_invalid"), route.path
    assert await digests(quiet.books.dsn) == before


async def test_revoked_while_running(quiet: Shop):
    """Every worker refuses it within the age that a copy of the keys may have."""
    registry_pool = await read_pool(quiet.books.dsn)
    try:
        registry = Registry(
            registry_pool,
            vault=Vault(MasterKeys.from_text(MASTER, source="test")),
            ids=SystemIds(),
            asked_by=TESTER,
        )
        issued = await registry.issue_merchant_key(
            quiet.books.merchant_id, Role.MERCHANT, KeyEnvironment.TEST
        )
        await until(lambda: knows_key(quiet, issued.id))
        signer = (issued.id, issued.secret)
        assert (await sent(quiet, "GET", "/v1/payments", signer=signer))[0] == 200
        await registry.revoke_key(issued.id)
        async with asyncio.timeout(DIRECTORY_AGE_MS_MAX / 1000):
            while (answer := await sent(quiet, "GET", "/v1/payments", signer=signer))[0] == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (answer[0], answer[1]["code"]) == (401, "key_revoked")
        before = await digests(quiet.books.dsn)
        status, document = await sent(
            quiet, "POST", "/v1/payments", pay_body(), signer=signer, key="revoked"
        )
        assert (status, document["code"]) == (401, "key_revoked")
        assert await digests(quiet.books.dsn) == before
    finally:
        await registry_pool.close()

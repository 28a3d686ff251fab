"""schemathesis against the running gateway's own /openapi.json, every request rightly signed: no
crash, and every answer as documented.

PROOF_SCALE multiplies the examples.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.clock import SystemIds
from gateway.http.routes import OPEN_ROUTES, ROUTES
from gateway.storage.connections import read_pool
from gateway.storage.registries.people import Registry
from loadtests.audit import audit
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.secret import Secret
from security.vault import Vault
from tests.adversity.house import until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import MASTER, TESTER, Shop, shop

FUZZED = [
    (f"{route.method} {route.path}", way)
    for route in (*ROUTES, *OPEN_ROUTES)
    for way in ("positive", "negative")
    # What takes nothing cannot be asked wrongly.
    if way == "positive" or "/v1/" in route.path or "{" in route.path
]
FUZZED_ELSEWHERE = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.fixture(scope="module")
async def target(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture(scope="module")
async def ids(target: Shop) -> dict[str, list[str]]:
    """Objects that exist, so that not every id that is drawn leads to a 404."""
    paid = [
        (await target.pay(9_000, method="cash")).document,
        (await target.pay(9_000, auth_code=code("alipay"))).document,
    ]
    failed = (await target.pay(9_000, auth_code=code("alipay", "01"))).document
    refund = (
        await target.till.refund(
            paid[0]["id"], {"refund_no": "fuzz-1", "amount": 1, "reason": ""}, "fuzz-1"
        )
    ).document
    accounts = [account for name, account in target.books.accounts.items() if name != "cash"]
    endpoint = (
        await target.office.call(
            "POST", "/v1/webhook-endpoints", {"url": "https://shop.example/"}, key="fuzz-1"
        )
    ).document
    return {
        "payment_id": [row["id"] for row in (*paid, failed)],
        "refund_id": [refund["id"]],
        "endpoint_id": [endpoint["id"]],
        "channel_account": accounts,
    }


@pytest.fixture(scope="module")
async def elsewhere(target: Shop) -> tuple[str, Secret]:
    """The key of a till in another store of the same merchant."""
    pool = await read_pool(target.books.dsn)
    try:
        registry = Registry(
            pool,
            vault=Vault(MasterKeys.from_text(MASTER, source="test")),
            ids=SystemIds(),
            asked_by=TESTER,
        )
        merchant = target.books.merchant_id
        await registry.create_store(merchant, "Side street", "store_2")
        terminal = await registry.create_terminal(merchant, "store_2", "Till 2")
        issued = await registry.issue_terminal_key(merchant, terminal.id, KeyEnvironment.TEST)
    finally:
        await pool.close()
    await until(lambda: knows(target, issued.id))
    return issued.id, issued.secret


async def knows(target: Shop, key_id: str) -> bool:
    return target.world.directory.key(key_id) is not None


@pytest.mark.parametrize(("label", "way"), FUZZED, ids=[f"{label} {way}" for label, way in FUZZED])
async def test_every_answer_is_a_documented_one(
    target: Shop, ids: dict[str, list[str]], label: str, way: str
):
    from tests.adversity import fuzzing  # noqa: PLC0415 - see there

    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    await asyncio.to_thread(fuzzing.fuzz, target, target.books.merchant, ids, label, way, seed)


@pytest.mark.parametrize("label", FUZZED_ELSEWHERE)
async def test_a_till_of_another_store_gets_documented_answers_and_sees_nothing(
    target: Shop, ids: dict[str, list[str]], elsewhere: tuple[str, Secret], label: str
):
    from tests.adversity import fuzzing  # noqa: PLC0415 - see there

    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    await asyncio.to_thread(
        fuzzing.fuzz, target, elsewhere, ids, label, "positive", seed, hidden=True
    )


async def test_the_fuzzing_got_past_the_door():
    """A fuzz whose every request is refused for its signature proves nothing."""
    from tests.adversity.fuzzing import seen  # noqa: PLC0415 - see there

    print(dict(seen))  # noqa: T201 - what was reached, with -s
    reached = {label: {status for (at, status) in seen if at == label} for label, _ in FUZZED}
    assert {label for label, statuses in reached.items() if not statuses - {400, 401}} == set()
    assert {200, 404, 422} <= {status for _, status in seen}
    assert seen["POST /v1/payments", 201]


async def test_and_the_books_agree(target: Shop, ids: dict[str, list[str]]):
    """Whatever was drawn was paid, refused or cancelled properly."""

    async def agree() -> bool:
        assert target.sandbox is not None
        violations: list[Any] = await audit(
            target.books.dsn, target.sandbox.control_url, at_rest=False
        )
        return len(violations) == 0

    await until(agree)

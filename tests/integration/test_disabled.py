"""A merchant, a store or a terminal that was disabled: its keys sign nothing, and what is under way
comes to its end.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.clock import SystemIds
from gateway.domain.holder import Holder, HolderKind
from gateway.storage.registries.people import Registry
from security.keyring import MasterKeys
from security.vault import Vault
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.world import MASTER, TESTER, Shop, order_no, shop


@pytest.fixture
async def open_shop(database: str, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    async with shop(database, sandbox=sandbox) as opened:
        yield opened


def people(at: Shop) -> Registry:
    vault = Vault(MasterKeys.from_text(MASTER, source="test"))
    return Registry(at.world.store.pool, vault=vault, ids=SystemIds(), asked_by=TESTER)


def holder(at: Shop, kind: HolderKind) -> Holder:
    ids = {
        HolderKind.MERCHANT: at.books.merchant_id,
        HolderKind.STORE: "store_1",
        HolderKind.TERMINAL: at.books.terminal_id,
    }
    return Holder(kind, at.books.merchant_id, ids[kind])


async def test_the_keys_below_it_are_refused_and_named_and_those_beside_it_are_not(
    open_shop: Shop,
) -> None:
    directory = open_shop.world.directory
    for kind, office in [
        (HolderKind.MERCHANT, 403),
        (HolderKind.STORE, 200),
        (HolderKind.TERMINAL, 200),
    ]:
        named = holder(open_shop, kind)
        assert await people(open_shop).disable(named)
        await directory.refresh()
        refused = await open_shop.pay(100, method="cash")
        assert (refused.status, refused.document["code"]) == (403, "disabled")
        assert refused.document["verdict"]["code"] == "fix_and_try"
        assert str(named) in refused.document["detail"]
        assert named.id in refused.document["detail_zh"]
        assert (await open_shop.office.payments()).status == office
        assert await people(open_shop).enable(named)
        await directory.refresh()
        assert (await open_shop.pay(100, method="cash")).status == 201


async def test_a_merchants_server_pays_for_no_disabled_store_and_gives_back_and_repeats(
    open_shop: Shop,
) -> None:
    office = open_shop.office
    bill = {"order_no": order_no(), "amount": 500, "method": "cash", "store_id": "store_1"}
    paid = (await office.pay(bill, "before")).document
    assert await people(open_shop).disable(holder(open_shop, HolderKind.STORE))
    await open_shop.world.directory.refresh()
    refused = await office.pay(bill | {"order_no": order_no()}, "after")
    assert (refused.status, refused.document["code"]) == (403, "disabled")
    repeated = await office.pay(bill, "before")
    assert (repeated.status, repeated.document["id"]) == (200, paid["id"])
    refund = await office.refund(paid["id"], {"refund_no": "r", "amount": 500, "reason": "x"}, "r")
    assert (refund.status, refund.document["status"]) == (201, "succeeded")


async def test_what_is_under_way_comes_to_its_end(open_shop: Shop) -> None:
    """The customer pays a shown code after the merchant was disabled; no till can ask for it."""
    opened = (await open_shop.pay(900, method="alipay", flow="qr")).document
    assert await people(open_shop).disable(holder(open_shop, HolderKind.MERCHANT))
    await open_shop.world.directory.refresh()
    assert (await open_shop.till.payment(opened["id"])).status == 403

    await open_shop.sandbox.pay(opened["out_trade_no"])
    async with asyncio.timeout(PATIENCE_S):
        while await status(open_shop, opened["id"]) != "succeeded":  # noqa: ASYNC110  in the books
            await asyncio.sleep(0.05)


async def status(at: Shop, payment_id: str) -> str:
    found = await at.world.store.payment(at.books.merchant_id, payment_id)
    return "" if found is None else found.status

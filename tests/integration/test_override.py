"""A tender in doubt, and the supervisor who cannot wait: held against the sandbox's own books.

Row 16 of the decision table. The sweeper runs only where a test lets it, and callbacks are held:
what is in doubt stays so.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.discovery import discover
from gateway.domain.verdicts import SAFE_BESIDE_OVERRIDDEN
from gateway.workers.sweeper import Sweeper
from security.pin import hash_pin
from security.secret import Secret
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Books, Shop, order_no, reopened, shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")
PIN = "482913"
SUPERVISOR = {"supervisor": {"id": "ann", "pin": PIN}, "reason": "the queue is long"}


@pytest.fixture(scope="module")
async def books(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Books]:
    """Enrolling makes RSA keys, so once for all tests."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False) as opened:
        await opened.rows(
            "INSERT INTO supervisor (merchant_id, id, name, pin_hash) VALUES ($1, $2, $3, $4) "
            "RETURNING id",
            opened.books.merchant_id,
            "ann",
            "Ann",
            hash_pin(Secret(PIN)),
        )
        yield opened.books
    await postgres.give_back(dsn)


@pytest.fixture
async def still(books: Books, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """The shop anew for every test, so that none has heard of the trouble of another."""
    for channel in REMOTE:
        await sandbox.arm(channel, "callback", "callback_hold")
    async with reopened(books, sandbox=sandbox, sweep=False) as opened:
        yield opened


@contextlib.asynccontextmanager
async def sweeping(at: Shop) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(Sweeper(at.world.store, at.world.in_doubt, at.world.clock).run(stop))
    yield
    stop.set()
    await task


async def doubtful(at: Shop, channel: str, ending: str = "05", **body: Any) -> dict[str, Any]:
    """A payment whose answer was lost."""
    order = body.pop("order_no", None) or order_no()
    opened = (
        await at.pay(900, auth_code=code(channel, ending), order_no=order, wait_s=0, **body)
    ).document
    async with asyncio.timeout(PATIENCE_S):
        while opened["status"] == "processing":
            opened = (await at.till.payment(opened["id"], wait_s=5)).document
    assert opened["status"] == "in_doubt", opened
    return dict(opened)


async def cash(at: Shop, order: str, tender_no: int, key: str | None = None, **body: Any) -> Any:
    return await at.pay(
        900,
        order_no=order,
        tender_no=tender_no,
        method="cash",
        key=key or f"{order}/{tender_no}",
        **body,
    )


async def refunded(at: Shop, payment_id: str) -> dict[str, Any]:
    """The late payment once its money is back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await at.office.payment(payment_id, wait_s=1)).document
            if found["verdict"]["code"] == "refunded":
                return dict(found)


@pytest.mark.parametrize("channel", REMOTE)
async def test_no_other_tender_while_one_is_in_doubt(still: Shop, channel: str):
    order = order_no()
    first = await doubtful(still, channel, order_no=order, tender_no=2)
    for tender_no in (1, 3):
        answer = await cash(still, order, tender_no)
        assert (answer.status, answer.document["code"]) == (409, "order_in_doubt")
        assert (answer.document["payment"]["id"], answer.document["verdict"]["code"]) == (
            first["id"],
            "do_not_charge_again",
        )
    same = await cash(still, order, 2, key=f"{order}/2b")
    assert (same.status, same.document["code"]) == (409, "order_tender_taken")
    again = await still.till.payment(first["id"])
    assert again.document["status"] == "in_doubt"


@pytest.mark.parametrize("channel", REMOTE)
async def test_row_16_cashier_insists_on_cash_now_is_an_override_with_automatic_refund(
    still: Shop, channel: str
):
    """The wallet had charged and its answer was lost; the customer pays cash; when the charge
    shows, the wallet money goes back.
    """
    order = order_no()
    first = await doubtful(still, channel, order_no=order, order_amount=900)
    override = {"payment_id": first["id"], **SUPERVISOR}
    paid = await cash(still, order, 2, order_amount=900, override=override)
    assert (paid.status, paid.document["status"], paid.document["verdict"]["code"]) == (
        201,
        "succeeded",
        "paid",
    ), paid.document
    risk = (await still.rows("SELECT * FROM override WHERE payment_id = $1", paid.document["id"]))[
        0
    ]
    assert (risk["named_id"], risk["amount"], risk["supervisor_id"], risk["reason"]) == (
        first["id"],
        900,
        "ann",
        "the queue is long",
    )
    opened = await still.rows(
        'SELECT evidence::text AS e FROM "case" WHERE object_id = $1 AND kind = $2',
        first["id"],
        "override",
    )
    assert json.loads(opened[0]["e"])["words"] == "ann: the queue is long"
    assert (await still.till.payment(first["id"])).document["verdict"][
        "code"
    ] == "do_not_charge_again"

    async with sweeping(still):
        late = await refunded(still, first["id"])
    assert (late["status"], late["attempts"][0]["status"], late["amount_refunded"]) == (
        "paid_late",
        "returned",
        900,
    )
    truth = (await still.captured(channel))[first["out_trade_no"]]
    assert (truth["amount"], truth["refunded"]) == (900, 900)
    refunds = (await still.office.call("GET", f"/v1/payments/{first['id']}/refunds")).document[
        "data"
    ]
    assert [(refund["origin"], refund["refund_no"]) for refund in refunds] == [
        ("late", f"late.{first['out_trade_no']}")
    ]
    types = [
        row["type"]
        for row in await still.rows(
            "SELECT type FROM event WHERE object_id = $1 AND public ORDER BY version", first["id"]
        )
    ]
    assert types == ["payment.in_doubt", "payment.paid_late"]
    again = await cash(still, order, 2, order_amount=900, override=override)
    assert (again.status, again.document["id"]) == (200, paid.document["id"])


async def test_a_payment_in_doubt_says_until_when_and_offers_the_override(still: Shop):
    """At the speed of the tests: WeChat proves after 30 s, Alipay after 7 s."""
    order = order_no()
    first = await doubtful(still, "wechat", order_no=order)
    ahead = first["next_action"]
    sent_at = datetime.fromisoformat(first["attempts"][0]["sent_at"])
    assert datetime.fromisoformat(ahead["decides_by"]) - sent_at == timedelta(seconds=40.5)
    assert ahead["override_possible"] is True
    other = await cash(still, order, 2)
    assert other.document["payment"]["next_action"] == ahead
    near = (await doubtful(still, "alipay"))["next_action"]
    assert ("decides_by" in near, "override_possible" in near) == (True, False)
    # An event tells what was, and promises nothing.
    told = await still.rows(
        "SELECT data->'next_action' AS n FROM event WHERE object_id = $1 AND type = $2",
        first["id"],
        "payment.in_doubt",
    )
    assert [set(json.loads(row["n"])) for row in told] == [{"type", "after_ms"}]


async def test_a_wrong_pin_lets_nothing_in(still: Shop):
    order = order_no()
    first = await doubtful(still, "wechat", order_no=order)
    named = {"payment_id": first["id"], "reason": "the queue is long"}
    wrong = await cash(
        still, order, 2, override=named | {"supervisor": {"id": "ann", "pin": "000000"}}
    )
    assert (wrong.status, wrong.document["code"], wrong.document["verdict"]["code"]) == (
        403,
        "supervisor_refused",
        "fix_and_try",
    )
    # The right one waits too: tries that come together cannot all be looked at.
    early = await cash(still, order, 2, override=named | {"supervisor": {"id": "ann", "pin": PIN}})
    assert (early.status, early.document["code"]) == (429, "supervisor_waits")
    assert int(early.headers["Retry-After"]) >= 1
    assert await still.rows("SELECT FROM override WHERE named_id = $1", first["id"]) == []
    await still.rows("UPDATE supervisor_try SET again_at = now() RETURNING place")
    paid = await cash(still, order, 2, override=named | {"supervisor": {"id": "ann", "pin": PIN}})
    assert paid.status == 201, paid.document
    kept = await still.rows("SELECT fingerprint::text AS f FROM claim")
    assert not any(PIN in row["f"] for row in kept)


async def test_a_store_may_forbid_overrides(still: Shop):
    order = order_no()
    first = await doubtful(still, "wechat", order_no=order)
    await still.rows("UPDATE store SET overrides_allowed = false RETURNING id")
    await still.world.directory.refresh()
    try:
        assert (
            "override_possible"
            not in (await still.till.payment(first["id"])).document["next_action"]
        )
        refused = await cash(still, order, 2, override={"payment_id": first["id"], **SUPERVISOR})
        assert (refused.status, refused.document["code"], refused.document["detail_zh"]) == (
            403,
            "not_permitted",
            "本门店不允许主管放行，请等待原收款的结果",
        )
    finally:
        await still.rows("UPDATE store SET overrides_allowed = true RETURNING id")
        await still.world.directory.refresh()


@pytest.mark.parametrize("channel", REMOTE)
async def test_an_override_of_a_payment_that_never_charged_costs_nothing(still: Shop, channel: str):
    order = order_no()
    first = await doubtful(still, channel, "06", order_no=order)
    paid = await cash(still, order, 2, override={"payment_id": first["id"], **SUPERVISOR})
    assert paid.status == 201, paid.document
    async with sweeping(still):
        ended = await still.settled(first["id"])
    assert (ended["status"], ended["verdict"]["code"]) == ("failed", "safe_to_charge_again")
    truth = (await still.captured(channel)).get(first["out_trade_no"], {"state": "never seen"})
    assert truth["state"] != "charged"


@pytest.mark.parametrize("channel", REMOTE)
async def test_a_tender_that_was_let_in_and_failed_says_that_the_first_is_still_given_back(
    still: Shop, channel: str
):
    order = order_no()
    first = await doubtful(still, channel, order_no=order)
    assert first["overrides"] is None
    answer = await still.pay(
        900,
        key=f"{order}/2",
        order_no=order,
        tender_no=2,
        auth_code=code(channel, "01"),
        override={"payment_id": first["id"], **SUPERVISOR},
    )
    second = answer.document
    assert (second["status"], second["overrides"]) == ("failed", first["id"])
    assert second["verdict"]["code"] == "safe_to_charge_again"
    assert second["verdict"]["zh"] == SAFE_BESIDE_OVERRIDDEN.zh
    # Read by another worker, and told as an event: from the books.
    again = (await still.office.payment(second["id"])).document
    assert (again["verdict"], again["overrides"]) == (second["verdict"], first["id"])
    told = await still.rows(
        "SELECT data->>'overrides' AS o, data->'verdict'->>'en' AS en FROM event "
        "WHERE object_id = $1 AND type = $2",
        second["id"],
        "payment.failed",
    )
    assert [tuple(row) for row in told] == [(first["id"], SAFE_BESIDE_OVERRIDDEN.en)]
    third = (await cash(still, order, 3)).document  # it needs no second override
    assert (third["status"], third["overrides"]) == ("succeeded", None)
    async with sweeping(still):
        await refunded(still, first["id"])


@pytest.mark.parametrize("channel", REMOTE)
async def test_an_override_that_comes_after_the_answer_is_refused_with_it(
    still: Shop, channel: str
):
    order = order_no()
    first = await doubtful(still, channel, order_no=order)
    async with sweeping(still):
        assert (await still.settled(first["id"]))["status"] == "succeeded"
    late = await cash(still, order, 2, override={"payment_id": first["id"], **SUPERVISOR})
    assert (late.status, late.document["code"]) == (409, "override_refused")
    assert (late.document["payment"]["id"], late.document["verdict"]["code"]) == (
        first["id"],
        "already_paid",
    )
    assert (await still.captured(channel))[first["out_trade_no"]]["refunded"] == 0


@pytest.mark.parametrize("channel", REMOTE)
async def test_an_override_that_races_the_answer_keeps_no_money_twice(still: Shop, channel: str):
    """Whoever is first: either the override is refused and the wallet is paid, or the cash is kept
    and the wallet's money goes back.

    It goes back by a refund, or, where the sweeper was too busy to ask in time, by the cancel.
    """
    for _ in range(3):
        order = order_no()
        first = await doubtful(still, channel, order_no=order, order_amount=900)
        async with sweeping(still):
            answer = await cash(
                still,
                order,
                2,
                order_amount=900,
                override={"payment_id": first["id"], **SUPERVISOR},
            )
            ended = await still.settled(first["id"])
            if answer.status == 201:
                assert ended["status"] in ("paid_late", "failed"), ended
                if ended["status"] == "paid_late":
                    await refunded(still, first["id"])
            else:
                assert (answer.document["code"], ended["status"]) == (
                    "override_refused",
                    "succeeded",
                ), (answer.document, ended)
        truth = (await still.captured(channel))[first["out_trade_no"]]
        held = (
            truth["amount"] - truth["refunded"] if truth["state"] in ("charged", "refunded") else 0
        )
        kept = held + (900 if answer.status == 201 else 0)
        assert kept == 900


async def test_an_override_names_a_payment_of_its_order(still: Shop):
    other = await doubtful(still, REMOTE[0])
    order = order_no()
    for named in (other["id"], "pay_nobody"):
        answer = await cash(still, order, 2, override={"payment_id": named, **SUPERVISOR})
        assert (answer.status, answer.document["code"], answer.document["field"]) == (
            422,
            "field_invalid",
            "override.payment_id",
        )

"""Who did what is written with the act, in its transaction."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.clock import SystemIds
from gateway.domain.audit import Act, AskedBy
from gateway.domain.case import Finding
from gateway.domain.web_address import web_address
from gateway.storage.postgres import PostgresStore
from gateway.storage.registries.act_list import ActList
from gateway.storage.registries.cut_offs import CutOffs
from gateway.storage.registries.restored_log import RestoredLog
from gateway.storage.registries.rules import RuleRegistry
from gateway.storage.registries.supervisors import SupervisorRegistry
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.webhooks.endpoints import WebhookEndpoints
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.vault import Vault
from tests.contract.drawn import case
from tests.integration.registry_world import (
    GOOD,
    HOLDER_ACTS,
    KEYS,
    MANIFESTS,
    change_holders,
    registries,
)
from tests.servers import owner_of
from tests.world import TESTER

TEST = KeyEnvironment.TEST
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = AskedBy("key", "mk_SERVER")


async def everything_done(database: str) -> tuple[str, str, set[bytes]]:
    """Each act but the rekeying, some of them twice: two keys, and the secrets that were used."""
    async with registries(database) as world:
        people, accounts = world.people, world.accounts
        await people.create_merchant("Noodle House", "mer_1")
        await people.create_store("mer_1", "East Gate", "sto_1")
        await people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")
        await change_holders(people)
        key = await people.issue_terminal_key("mer_1", "term_1", TEST)
        await people.limit_refunds(key.id, 2_000, None)
        newer = await people.rotate_key(key.id, TEST)
        await people.revoke_key(key.id)
        await people.allow_overrides("mer_1", "sto_1", allowed=False)
        days = CutOffs(world.pool, asked_by=TESTER)
        await days.begin("mer_1", "sto_1", timedelta(hours=4))
        supervisors = SupervisorRegistry(world.pool, ids=SystemIds(), asked_by=TESTER)
        person, pin = await supervisors.create("mer_1", "Mei", None, "sto_1")
        newer_pin = await supervisors.reset("mer_1", person)
        await supervisors.disable("mer_1", person)
        await accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        await accounts.rotate_credentials("acct_1", GOOD.replace(b"open", b"close"))
        await accounts.place("acct_1", enabled=False, priority=50)
        await accounts.place("acct_1", enabled=False, priority=50)  # as it was: no act
        await accounts.place("acct_1", enabled=True)
        assert await accounts.drain("acct_1", "lunch", "mei")
        assert not await accounts.drain("acct_1", "again", "mei")
        assert await accounts.drain("acct_1", None, "mei")
        book = WebhookRegistry(world.pool, vault=Vault(KEYS), ids=SystemIds(), asked_by=TESTER)
        desk = WebhookEndpoints(book, allow_loopback=True)
        made = await desk.create("mer_1", "https://a.example/x", (), 1, "idem", asked_by=KEY)
        await desk.create("mer_1", "https://a.example/x", (), 1, "idem", asked_by=KEY)  # replayed
        endpoint = made.endpoint.id
        turned = await desk.rotate("mer_1", endpoint, KEY)
        await desk.disable("mer_1", endpoint, KEY)
        await desk.disable("mer_1", endpoint, KEY)
        await desk.enable("mer_1", endpoint, TESTER)
        assert await book.move("mer_1", endpoint, web_address("https://b.example/y"))
        rules = RuleRegistry(world.pool, MANIFESTS, asked_by=TESTER)
        await rules.write("mer_1", None, b'{"rules": []}', "mei")
        log = RestoredLog(world.pool, asked_by=TESTER)
        assert await log.begin(NOW, "mei")
        assert await log.end("mei")
        assert not await log.end("mei")
        store = await PostgresStore.connected(database)
        opened = case()
        await store.open_case("mer_1", "pay_1", opened)
        finding = Finding.PAID
        mei = AskedBy("person", "mei")
        proposal: dict[str, Any] = {"by": mei, "reason": "seen", "now": NOW}
        assert await store.propose_finding(opened.id, finding, **proposal)
        assert await store.withdraw_finding(opened.id, by=mei)
        assert not await store.withdraw_finding(opened.id, by=mei)
        assert await store.propose_finding(opened.id, finding, **proposal)
        assert await store.confirm_finding(opened.id, finding, by=KEY)
        await store.unconfirm_finding(opened.id, by=KEY)
        await store.unconfirm_finding(opened.id, by=KEY)
        assert await store.confirm_finding(opened.id, finding, by=KEY)
        await store.close_case(opened.id, closed_by=KEY, reason="seen", now=NOW)
        await store.close()
        secrets = [key.secret, newer.secret, made.secret, turned.secret, pin, newer_pin]
        known = {each.reveal().encode() for each in secrets if each is not None}
        return key.id, newer.id, known | {b"open sesame", b"close sesame"}


async def test_every_act_says_who_did_what_and_no_secret(database: str) -> None:
    key, newer, secrets = await everything_done(database)
    rotated = MasterKeys({1: KEYS.key(1), 2: bytes(range(1, 33))})
    async with registries(database, rotated) as world:
        await world.rekeying.rekey()
        acts = list(reversed(await ActList(world.pool).newest(None, None)))
        text = json.dumps(
            [dict(row) for row in await world.pool.fetch("SELECT * FROM audit")], default=str
        )
    assert [each.act for each in acts] == [
        Act.MERCHANT_CREATE,
        Act.STORE_CREATE,
        Act.TERMINAL_CREATE,
        *HOLDER_ACTS,
        Act.KEY_ISSUE,
        Act.KEY_LIMIT,
        Act.KEY_ROTATE,
        Act.KEY_REVOKE,
        Act.STORE_OVERRIDES,
        Act.STORE_CUTOFF,
        Act.SUPERVISOR_CREATE,
        Act.SUPERVISOR_RESET,
        Act.SUPERVISOR_DISABLE,
        Act.ACCOUNT_CREATE,
        Act.ACCOUNT_ROTATE,
        Act.ACCOUNT_DISABLE,
        Act.ACCOUNT_PLACE,
        Act.ACCOUNT_ENABLE,
        Act.ACCOUNT_DRAIN,
        Act.ACCOUNT_UNDRAIN,
        Act.WEBHOOK_CREATE,
        Act.WEBHOOK_ROTATE,
        Act.WEBHOOK_DISABLE,
        Act.WEBHOOK_ENABLE,
        Act.WEBHOOK_MOVE,
        Act.ROUTING_SET,
        Act.RESTORED_BEGIN,
        Act.RESTORED_END,
        Act.CASE_PROPOSE,
        Act.CASE_WITHDRAW,
        Act.CASE_PROPOSE,
        Act.CASE_CONFIRM,
        Act.CASE_UNCONFIRM,
        Act.CASE_CONFIRM,
        Act.CASE_CLOSE,
        *[Act.REKEY] * 3,
    ]
    assert {each.act for each in acts} == set(Act), "a new act needs its line here"
    said = {each.act: each for each in acts}
    for act in (Act.WEBHOOK_ROTATE, Act.CASE_UNCONFIRM, Act.CASE_CLOSE):
        assert (said[act].asked_as, said[act].asked_by) == ("key", "mk_SERVER")
    for act in (Act.CASE_PROPOSE, Act.CASE_WITHDRAW):
        assert (said[act].asked_as, said[act].asked_by) == ("person", "mei")
    assert said[Act.CASE_WITHDRAW].before == {"finding": "paid", "proposed_by": "mei"}
    assert said[Act.KEY_ROTATE].before == {"key": key}
    assert said[Act.KEY_ROTATE].object == newer
    assert said[Act.ACCOUNT_PLACE].before == {"priority": 100}
    assert said[Act.ACCOUNT_PLACE].after == {"priority": 50}
    assert said[Act.ACCOUNT_ROTATE].after["credentials"]["key"] == "***"
    assert [secret for secret in secrets if secret.decode() in text] == []


async def test_an_act_that_is_refused_leaves_no_row(database: str) -> None:
    """And none without its act: they are one transaction."""
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        with pytest.raises(ValueError, match="exists already"):
            await world.people.create_merchant("Again", "mer_1")
        connection = await asyncpg.connect(owner_of(database))
        await connection.execute("ALTER TABLE audit RENAME COLUMN act TO was_act")
        with pytest.raises(asyncpg.PostgresError):
            await world.people.create_merchant("Unseen", "mer_2")
        await connection.execute("ALTER TABLE audit RENAME COLUMN was_act TO act")
        await connection.close()
        assert [each.id for each in await world.people.merchants()] == ["mer_1"]
        assert len(await ActList(world.pool).newest(None, None)) == 1


# -- the chain -------------------------------------------------------------------------------------

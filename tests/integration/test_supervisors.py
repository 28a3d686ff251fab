"""Supervisors and their PINs, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.clock import SystemIds
from gateway.domain.errors import (
    GatewayError,
    SupervisorLocked,
    SupervisorRefused,
    SupervisorWaits,
)
from gateway.flow.commands import Caller
from gateway.limits import SUPERVISOR_FAILURES_MAX, SUPERVISOR_WAIT_S_MAX
from gateway.storage.connections import read_pool
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.people import Registry
from gateway.storage.registries.supervisors import SupervisorProof, SupervisorRegistry
from security.secret import Secret
from security.vault import Vault
from tests.integration.registry_world import KEYS
from tests.world import TESTER

WRONG = Secret("no pin")


class World:
    """A merchant with two stores, and a supervisor of the first."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        vault = Vault(KEYS)
        self.pool = pool
        self.people = Registry(pool, vault=vault, ids=SystemIds(), asked_by=TESTER)
        self.registry = SupervisorRegistry(pool, ids=SystemIds(), asked_by=TESTER)
        self.proof = SupervisorProof(pool)
        self.pin = WRONG

    async def prove(self, pin: Secret, *, till: str = "t1", store: str = "s1", who: str = "ann"):
        caller = Caller(
            key_id="k", merchant_id="m1", store_id="s1", terminal_id=till, role="terminal"
        )
        await self.proof.prove(caller, store, who, pin)

    async def refusal(self, pin: Secret, **more: str) -> type[GatewayError]:
        with pytest.raises(GatewayError) as refused:
            await self.prove(pin, **more)
        return type(refused.value)

    async def wait(self) -> None:
        await self.pool.execute("UPDATE supervisor_try SET again_at = now()")


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    pool = await read_pool(database)
    made = World(pool)
    await made.people.create_merchant("Noodle House", "m1")
    await made.people.create_store("m1", "East", "s1")
    await made.people.create_store("m1", "West", "s2")
    _, made.pin = await made.registry.create("m1", "Ann", "ann", "s1")
    yield made
    await pool.close()


async def test_the_pin_proves_the_person_in_the_own_store_only(world: World) -> None:
    await world.prove(world.pin)
    assert await world.refusal(world.pin, store="s2") is SupervisorRefused
    assert await world.refusal(world.pin, who="nobody") is SupervisorRefused
    _, everywhere = await world.registry.create("m1", "Bob", "bob", None)
    await world.prove(everywhere, store="s2", who="bob")
    assert await world.refusal(everywhere) is SupervisorRefused


async def test_the_pin_is_kept_as_a_hash(world: World) -> None:
    kept = await world.pool.fetchval("SELECT pin_hash FROM supervisor WHERE id = 'ann'")
    assert kept.startswith("$argon2id$")
    assert world.pin.reveal() not in kept


async def test_each_wrong_pin_at_a_till_waits_twice_as_long(world: World) -> None:
    waits = []
    for _ in range(SUPERVISOR_FAILURES_MAX - 1):
        assert await world.refusal(WRONG) is SupervisorRefused
        assert await world.refusal(world.pin) is SupervisorWaits
        waits.append(
            await world.pool.fetchval(
                "SELECT round(extract(epoch FROM again_at - now()) + 0.49)::int FROM supervisor_try"
            )
        )
        await world.wait()
    assert waits == [min(2**n, SUPERVISOR_WAIT_S_MAX) for n in range(len(waits))]
    await world.prove(world.pin)
    assert await world.refusal(WRONG) is SupervisorRefused, "the count began anew"


async def test_another_till_does_not_wait_and_counts_too(world: World) -> None:
    for number in range(SUPERVISOR_FAILURES_MAX):
        assert await world.refusal(WRONG, till=f"t{number}") is SupervisorRefused
    assert await world.refusal(world.pin, till="t99") is SupervisorLocked
    pin = await world.registry.reset("m1", "ann")
    assert await world.refusal(world.pin) is SupervisorRefused
    await world.wait()
    await world.prove(pin)


async def test_of_tries_that_come_together_one_is_looked_at(world: World) -> None:
    tries = [world.refusal(WRONG) for _ in range(8)]
    refusals = await asyncio.gather(*tries)
    assert sorted(each.__name__ for each in refusals) == [
        "SupervisorRefused",
        *["SupervisorWaits"] * 7,
    ]


async def test_who_is_disabled_proves_nothing_until_a_new_pin_is_set(world: World) -> None:
    await world.registry.disable("m1", "ann")
    assert await world.refusal(world.pin) is SupervisorRefused
    [listed] = await world.registry.supervisors("m1")
    assert (listed.id, listed.store_id, listed.state) == ("ann", "s1", "disabled")
    await world.prove(await world.registry.reset("m1", "ann"))
    with pytest.raises(RegistryError, match="there is no supervisor zoe"):
        await world.registry.disable("m1", "zoe")

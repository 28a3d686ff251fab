"""Every secret is replaced while tills sell: the master key, a till's key, the channels' keys, the
webhooks' secret. No tap is refused for a key that was good, and afterwards the books agree with the
channels'. PROOF_SCALE is how often all of it is done.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.discovery import discover
from gateway.cli.client.client import Client
from gateway.clock import SystemClock, SystemIds
from gateway.storage.connections import read_pool
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.credentials import account_about
from gateway.storage.registries.people import Registry
from gateway.storage.registries.rekeying import Rekeyed, Rekeying
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.secret import Secret
from security.vault import Vault
from security.webhook_signature import TIMESTAMP, WebhookSignatureInvalid, verify
from tests.adversity.house import SCALE, House, accepted, house, unbroken, until
from tests.adversity.test_random_kills import settle
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.webhook_receiver import Received, WebhookReceiver, webhook_receiver
from tests.world import MASTER, TESTER, order_no

TILLS = 4
SECOND_HOSTS = {"alipay": "second_gateway_url", "wechat": "second_base_url"}
METHODS = ("cash", "alipay", "wechat", "cash")
WITHOUT_WECHAT = ("cash", "alipay")


@dataclass(slots=True)
class Rotation:
    """The person who replaces secrets while tills sell.

    `second_hosts`: by channel. `tapped`: which client each till's latest tap went by.
    """

    here: House
    keys: Path
    pool: asyncpg.Pool[Any]
    stack: AsyncExitStack
    till_key: str
    second_hosts: dict[str, str] = field(default_factory=dict)
    tapped: dict[int, Client] = field(default_factory=dict)
    methods: Sequence[str] = METHODS
    taps: int = 0

    def registry(self, kind: Callable[..., Any], **more: Any) -> Any:
        """With the master keys of this moment."""
        vault = Vault(MasterKeys.from_file(self.keys))
        return kind(self.pool, vault=vault, ids=SystemIds(), asked_by=TESTER, **more)

    @asynccontextmanager
    async def sales(self) -> AsyncIterator[None]:
        """Tills sell meanwhile; a tap that is refused ends it all."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tills:
            for till in range(TILLS):
                tills.create_task(self._sell(till, stop))
            yield
            stop.set()

    async def _sell(self, till: int, stop: asyncio.Event) -> None:
        """One tap after the other; each is answered by a payment."""
        while not stop.is_set():
            method = self.methods[self.taps % len(self.methods)]
            self.taps += 1
            scanned = {} if method == "cash" else {"auth_code": code(method)}
            tap = {"order_no": order_no(), "method": method, **scanned}
            while True:
                self.tapped[till] = self.here.till
                answer = await self.here.pay(1_000 + till, wait_s=1, **tap)
                if answer is not None:  # else a worker left in the middle: the same tap again
                    accepted(answer)
                    break

    async def sell_on(self) -> None:
        """Until each till has begun a tap by the present key, and so ended those by others."""
        self.tapped.clear()
        await until(self._all_tap)

    async def _all_tap(self) -> bool:
        return list(self.tapped.values()) == [self.here.till] * TILLS

    async def replace_master_key(self) -> None:
        """A new one in the file, workers that read it, and every secret under it."""
        MasterKeys.from_file(self.keys).rotate(self.keys)
        before = self.here.worker_pid()
        self.here._children["serve"].process.send_signal(signal.SIGHUP)
        await self.here.drain("work")
        await self.here.start("work")
        done: list[Rekeyed] = []

        async def rekeyed() -> bool:
            try:
                done.append(await self.registry(Rekeying).rekey())
            except RegistryError:
                return False  # the worker that leaves still shows signs of life
            return True

        await until(rekeyed)
        assert self.here.worker_pid() != before
        assert (done[-1].resealed >= 5, done[-1].broken) == (True, [])

    async def replace_tills_key(self) -> None:
        """The next one beside the present one; revoked is the old one when no till goes by it."""
        people = self.registry(Registry)
        old, old_id = self.here.till, self.till_key
        issued = await people.rotate_key(old_id, KeyEnvironment.TEST)
        new = await self.stack.enter_async_context(
            Client(self.here.base_url, issued.id, issued.secret)
        )
        await until(lambda: hears(new, 200))
        self.here.till, self.till_key = new, issued.id
        await self.sell_on()
        await people.revoke_key(old_id)
        await until(lambda: hears(old, 401))

    async def replace_channels_credentials(self) -> None:
        """Each account's second host goes, or comes back."""
        for channel, field_name in SECOND_HOSTS.items():
            given = await self.credentials(channel)
            host = None if given.get(field_name) else self.second_hosts[channel]
            await self._replace(channel, **{field_name: host})

    async def pin_platform_key(self) -> None:
        """WeChat signs by another platform key: nothing it says is believed until that one is
        pinned beside the old one, so no till takes WeChat meanwhile but one.
        """
        self.methods = WITHOUT_WECHAT
        await self.sell_on()
        fault = await self.here.sandbox.arm(
            "wechat", "pay", "rotate_key", account=self.here.books.accounts["wechat"], times=1
        )
        accepted(await self.here.pay(500, auth_code=code("wechat"), wait_s=1))
        await self.here.fired(fault["id"])
        (facts,) = [
            each["facts"]
            for each in await self.here.sandbox.accounts()
            if each["account"] == self.here.books.accounts["wechat"]
        ]
        await self._replace("wechat", platform_keys=facts["platform_keys"])
        self.methods = METHODS

    async def replace_webhook_secret(self, endpoint_id: str) -> Secret:
        target = f"/v1/webhook-endpoints/{endpoint_id}/rotate-secret"
        return Secret(accepted(await self.here.office.call("POST", target))["secret"])

    async def credentials(self, channel: str) -> dict[str, Any]:
        """As they are sealed."""
        row = await self.pool.fetchrow(
            "SELECT id, merchant_id, store_id, channel, sealed FROM channel_account WHERE id = $1",
            self.here.books.accounts[channel],
        )
        assert row is not None
        about = account_about(
            row["id"],
            merchant_id=row["merchant_id"],
            store_id=row["store_id"],
            channel=row["channel"],
        )
        opened = Vault(MasterKeys.from_file(self.keys)).open(row["sealed"], about=about)
        return dict(json.loads(opened))

    async def _replace(self, channel: str, **changed: Any) -> None:
        given = await self.credentials(channel) | changed
        text = json.dumps({name: value for name, value in given.items() if value is not None})
        accounts = self.registry(AccountRegistry, clock=SystemClock(), manifests=discover())
        await accounts.rotate_credentials(self.here.books.accounts[channel], text.encode())


async def hears(client: Client, status: int) -> bool:
    answer = await unbroken(client.call("GET", "/v1/payments?limit=1"))
    return answer is not None and answer.status == status


@asynccontextmanager
async def shop_of_rotations(
    database: str, sandbox: SandboxProcess, folder: Path, redis_url: str
) -> AsyncIterator[Rotation]:
    keys = folder / "master.keys"
    keys.touch(mode=0o600)
    keys.write_text(f"{MASTER}\n")
    async with (
        AsyncExitStack() as stack,
        house(
            database,
            sandbox,
            folder,
            redis_url=redis_url,
            TILLGATE_MASTER_KEY="",
            TILLGATE_MASTER_KEY_FILE=str(keys),
            TILLGATE_ALLOW_LOOPBACK_WEBHOOKS="yes",
        ) as here,
    ):
        pool = await read_pool(database)
        stack.push_async_callback(pool.close)
        till_key, _ = here.books.terminal
        rotation = Rotation(here, keys, pool, stack, till_key)
        for channel, field_name in SECOND_HOSTS.items():
            rotation.second_hosts[channel] = (await rotation.credentials(channel))[field_name]
        yield rotation


@pytest.mark.skipif(SCALE == 1, reason="takes half a minute: make proof")
async def test_every_secret_is_replaced_under_load(
    database: str, redis_url: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    async with (
        webhook_receiver() as receiver,
        shop_of_rotations(database, sandbox, tmp_path, redis_url) as rotation,
    ):
        here = rotation.here
        endpoint = accepted(
            await here.office.call(
                "POST", "/v1/webhook-endpoints", {"url": receiver.url}, key="hooks"
            )
        )
        secrets = [Secret(endpoint["secret"])]
        async with rotation.sales():
            for _ in range(SCALE):
                await rotation.replace_master_key()
                await rotation.replace_tills_key()
                await rotation.replace_channels_credentials()
                await rotation.pin_platform_key()
                secrets.append(await rotation.replace_webhook_secret(endpoint["id"]))
                await rotation.sell_on()
        await here.sandbox.disarm()
        await settle(here)
        assert await here.audit() == []
        last = accepted(await here.pay(777, method="cash"))
        await until(lambda: has_heard_of(receiver, last["id"]))
        for message in receiver.received:
            assert is_signed_by_any(secrets, message)
        (newest,) = about(receiver, last["id"])
        for secret in secrets[-2:]:  # the merchant may be slow to take the new one
            assert is_signed_by_any([secret], newest)


def about(receiver: WebhookReceiver, payment_id: str) -> list[Received]:
    return [
        message
        for message in receiver.received
        if message.document["data"].get("payment", {}).get("id") == payment_id
    ]


async def has_heard_of(receiver: WebhookReceiver, payment_id: str) -> bool:
    return bool(about(receiver, payment_id))


def is_signed_by_any(secrets: Sequence[Secret], message: Received) -> bool:
    sent_at = float(message.headers[TIMESTAMP])
    for secret in secrets:
        with suppress(WebhookSignatureInvalid):
            verify(secret, message.headers, message.body, now_s=sent_at)
            return True
    return False

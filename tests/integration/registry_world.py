"""A vault, a small remote channel and the registries, for the tests of registry and directory."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from adapters.channel import BillDay, Flow, LocalManifest, Manifest, Means, RemoteManifest
from adapters.transport import ChannelTransport, HttpAnswer, HttpCall, InlineExecutor, NotSentError
from gateway.clock import Clock, SystemClock, SystemIds
from gateway.domain.audit import Act
from gateway.domain.holder import Holder, HolderKind
from gateway.storage.built_accounts import BuiltAccounts
from gateway.storage.connections import read_pool
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.people import Registry
from gateway.storage.registries.rekeying import Rekeying
from security.keyring import MasterKeys
from security.secret import Secret
from security.vault import Vault
from tests.world import TESTER

KEYS = MasterKeys({1: bytes(range(32))})
GOOD = b'{"app_id": "a1", "key": "open sesame", "base_url": "https://pay.example"}'

HOLDERS = [
    Holder(HolderKind.MERCHANT, "mer_1", "mer_1"),
    Holder(HolderKind.STORE, "mer_1", "sto_1"),
    Holder(HolderKind.TERMINAL, "mer_1", "term_1"),
]
"""The widest first."""
HOLDER_ACTS = [
    Act(f"{holder.kind}.{verb}") for holder in HOLDERS for verb in ("rename", "disable", "enable")
]
"""What `change_holders` writes down."""


class PaperCredentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    app_id: str
    key: Secret
    base_url: str
    profile: Literal["standard", "short"] = "standard"
    notify_url: str | None = None


class PaperChannel:
    """Remembers what it was built with."""

    def __init__(
        self, credentials: PaperCredentials, transport: ChannelTransport, clock: Clock
    ) -> None:
        if credentials.key.reveal() == "unfit":
            raise ValueError("key is unfit: use another")
        self.credentials, self.transport, self.clock = credentials, transport, clock


class Drawer:
    """A local channel."""


class PaperTransport:
    """Counts how often it was closed."""

    signing_executor = InlineExecutor()

    def __init__(self) -> None:
        self.closed = 0

    async def send(self, call: HttpCall) -> HttpAnswer:
        raise NotSentError(call.operation)

    async def aclose(self) -> None:
        self.closed += 1


SHARED: dict[str, Any] = {
    "flows": frozenset({Flow.CODE}),
    "auth_codes": (re.compile("^9[0-9]{15}$"),),
    "amount_max": 10_000,
    "title_zh": "纸",
}
MANIFESTS: dict[str, Manifest] = {
    "paper": RemoteManifest(
        channel="paper",
        title_en="Paper",
        schedules={},
        bill_day=BillDay(refunds_by="finished"),
        credentials=PaperCredentials,
        transport=lambda _credentials, _means: PaperTransport(),
        build=PaperChannel,  # type: ignore[arg-type]
        **SHARED,
    ),
    "drawer": LocalManifest(
        channel="drawer",
        title_en="Drawer",
        build=Drawer,  # type: ignore[arg-type]
        **SHARED,
    ),
}


class Registries:
    """Both registries of one database."""

    def __init__(self, pool: Any, vault: Vault, manifests: Mapping[str, Manifest]) -> None:
        self.people = Registry(pool, vault=vault, ids=SystemIds(), asked_by=TESTER)
        self.accounts = AccountRegistry(
            pool,
            vault=vault,
            ids=SystemIds(),
            asked_by=TESTER,
            clock=SystemClock(),
            manifests=manifests,
        )
        self.rekeying = Rekeying(pool, vault=vault, ids=SystemIds(), asked_by=TESTER)
        self.pool = pool


@asynccontextmanager
async def registries(
    dsn: str, keys: MasterKeys = KEYS, manifests: Mapping[str, Manifest] = MANIFESTS
) -> AsyncIterator[Registries]:
    pool = await read_pool(dsn)
    try:
        yield Registries(pool, Vault(keys), manifests)
    finally:
        await pool.close()


async def change_holders(people: Registry) -> None:
    """Each is renamed, disabled and enabled; what changes nothing is no act."""
    for holder in HOLDERS:
        await people.rename(holder, "Another")
        assert await people.disable(holder)
        assert not await people.disable(holder)
        assert await people.enable(holder)
        assert not await people.enable(holder)


class StillClock:
    """Monotonic time that moves when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any:
        return SystemClock().now()


def directory(
    dsn: str,
    clock: Clock | None = None,
    *,
    allow_loopback: bool = False,
    keys: MasterKeys = KEYS,
    takes_test_keys: bool = True,
) -> SnapshotDirectory:
    vault, clock = Vault(keys), clock or SystemClock()
    accounts = BuiltAccounts(
        vault=vault,
        means=Means(clock=clock, signing_executor=InlineExecutor()),
        manifests=MANIFESTS,
        public_url="https://till.example",
        allow_loopback_channels=allow_loopback,
    )
    return SnapshotDirectory(
        dsn, vault=vault, clock=clock, accounts=accounts, takes_test_keys=takes_test_keys
    )

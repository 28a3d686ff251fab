"""Every remote channel that `adapters.discovery` finds, in every key mode the sandbox offers;
cancels under both cancel settings.
"""

from collections.abc import AsyncIterator

import pytest

from adapters.channel import RemoteManifest
from adapters.discovery import discover
from sandbox.discovery import discover as sandbox_channels
from tests.conformance.side import Postbox, Side, open_postbox
from tests.sandbox_process import SandboxProcess

REMOTE = {
    name: manifest for name, manifest in discover().items() if isinstance(manifest, RemoteManifest)
}
MODES = [
    (name, mode)
    for name, channel in sandbox_channels().items()
    if name in REMOTE
    for mode in channel.modes
]
WORLDS = [pytest.param((name, mode, False), id=f"{name}-{mode}") for name, mode in MODES]
TOMBSTONES = [
    pytest.param((name, mode, True), id=f"{name}-{mode}-tombstone") for name, mode in MODES
]


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxProcess]:
    """A sandbox apart: its settings are changed."""
    process = SandboxProcess()
    await process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    await process.stop()


@pytest.fixture(scope="session")
async def postbox() -> AsyncIterator[Postbox]:
    async with open_postbox() as opened:
        yield opened


@pytest.fixture(scope="session")
async def sides() -> AsyncIterator[dict[tuple[str, str], Side]]:
    """Accounts by channel and mode, each made when first asked for: keys take their time."""
    made: dict[tuple[str, str], Side] = {}
    yield made
    for side in made.values():
        await side.close()


@pytest.fixture(params=WORLDS)
async def side(
    request: pytest.FixtureRequest,
    sandbox: SandboxProcess,
    postbox: Postbox,
    sides: dict[tuple[str, str], Side],
) -> AsyncIterator[Side]:
    """One channel account.

    Queries see everything at once unless a test says otherwise; nothing is armed before or after.
    """
    name, mode, tombstone = request.param
    if (name, mode) not in sides:
        enrolled = await sandbox.enroll(name, mode, mode=mode, profile="short")
        sides[name, mode] = Side(sandbox, REMOTE[name], mode, enrolled["credentials"], postbox)
    one = sides[name, mode]
    await sandbox.settings(name, cancel_is_tombstone=tombstone, query_lag_ms_max=0)
    postbox.reopen(one.channel)
    yield one
    await sandbox.disarm()


@pytest.fixture
def is_tombstone(request: pytest.FixtureRequest, side: Side) -> bool:
    tombstone: bool = request.node.callspec.params["side"][2]
    return tombstone

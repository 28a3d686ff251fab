"""What `tillgate doctor` looks at in the channel accounts and keys: whether they open, whether the
channel believes them, and what the workers' breakers say.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from adapters.channel import Means
from adapters.discovery import discover
from adapters.transport import InlineExecutor
from gateway.cli.account_trial import Result, try_channel
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.cli.commands.safety_checks import look_at_certificates
from gateway.cli.registries import Registries, registries
from gateway.clock import SystemClock
from gateway.flow.accounts import Account, LocalAccount
from gateway.settings import Settings
from gateway.storage.built_accounts import BuiltAccounts
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.registries.accounts import AccountListing
from security.vault import Vault

CONNECT_S: Final = 3.0  # a host that needs longer is as good as gone


async def examine_accounts(settings: Settings) -> list[Diagnosis]:
    """What the directory would serve, tried."""
    clock = SystemClock()
    vault = Vault(settings.needed_master_keys(), opens_old=settings.opens_old_seals)
    accounts = BuiltAccounts(
        vault=vault,
        means=Means(clock=clock, signing_executor=InlineExecutor()),
        manifests=discover(),
        public_url=settings.public_url,
        allow_loopback_channels=settings.allow_loopback_channels,
    )
    directory = SnapshotDirectory(
        settings.needed_database_url().reveal(), vault=vault, clock=clock, accounts=accounts
    )
    try:
        await directory.refresh()
        async with registries(settings) as opened:
            listed = await opened.accounts.accounts()
            problems = dict(directory.problems)
            found = [*_left_out(problems, {each.id for each in listed}), *_seals(listed, settings)]
            enabled = [each for each in listed if each.enabled and each.id not in problems]
            if not enabled:
                text = "no channel account can take payments: `tillgate account create` makes one"
                found.append(Diagnosis(Level.WARNING, "accounts", text))
            for each in enabled:
                found += look_at_certificates(each, clock.now())
            served = [(each, directory.account(each.id)) for each in enabled]
            return found + list(
                await asyncio.gather(
                    *(
                        _account(opened, each, account, settings.environment)
                        for each, account in served
                        if account is not None
                    )
                )
            )
    finally:
        await directory.close()


def _left_out(problems: dict[str, str], accounts: set[str]) -> list[Diagnosis]:
    """One line a row; one for all of them where the master key is the cause."""
    sealed = [row_id for row_id, problem in problems.items() if "master key" in problem]
    if len(sealed) > 1:
        text = (
            f"{len(sealed)} keys and accounts do not open ({sealed[0]} …): are these the master "
            f"keys they were sealed under? The first says: {problems[sealed[0]]}"
        )
        rest = {row_id: problem for row_id, problem in problems.items() if row_id not in sealed}
        return [Diagnosis(Level.WRONG, "master keys", text), *_left_out(rest, accounts)]
    return [
        Diagnosis(
            Level.WRONG,
            row_id,
            f"{problem}; see `tillgate account show` and `rotate`"
            if row_id in accounts
            else f"{problem}; `tillgate key revoke`, and issue another",
        )
        for row_id, problem in problems.items()
    ]


def _seals(accounts: list[AccountListing], settings: Settings) -> list[Diagnosis]:
    current = settings.needed_master_keys().current_version
    stale = sum(each.key_version not in (None, current) for each in accounts)
    if not stale:
        return []
    text = f"{stale} are sealed under an older master key: run `tillgate rekey`"
    return [Diagnosis(Level.WARNING, "accounts", text)]


async def _account(
    opened: Registries, listed: AccountListing, account: Account, environment: str
) -> Diagnosis:
    """The worst of: its breakers, the signed call, its second host."""
    where = f"{listed.channel}, priority {listed.priority}"
    if isinstance(account, LocalAccount):
        return Diagnosis(Level.GOOD, listed.id, f"{where}, settles here")
    trial = await try_channel(account.channel, account.manifest, account.merchant_id, environment)
    resting = [each for each in await opened.health.states(listed.id) if each.to != "closed"]
    if trial.result is not Result.WORKS:
        return Diagnosis(Level.WRONG, listed.id, f"{where}: {trial.text}")
    if resting:
        breakers = ", ".join(sorted({f"{each.operation} {each.to}" for each in resting}))
        text = f"{where}: answers now; breakers: {breakers} ({resting[0].reason})"
        # Half open, it comes back by itself with the next payments.
        is_resting = any(each.to == "open" for each in resting)
        return Diagnosis(Level.WARNING if is_resting else Level.GOOD, listed.id, text)
    unreachable = await _second_host(listed)
    if unreachable is not None:
        return Diagnosis(Level.WARNING, listed.id, f"{where}: {unreachable}")
    drained = f", {listed.drained_state}" if listed.drained_reason is not None else ""
    return Diagnosis(Level.GOOD, listed.id, f"{where}: {trial.text}{drained}")


async def _second_host(account: AccountListing) -> str | None:
    """Why payments have nowhere to go when the main host fails; None when they have, or when there
    is no second host. A connection, and for https the handshake; nothing is sent.
    """
    for name, address in _second_addresses(account.credentials).items():
        parts = urlsplit(address)
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        try:
            async with asyncio.timeout(CONNECT_S):
                context = ssl.create_default_context() if is_tls else None
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
        except (OSError, TimeoutError) as error:
            return (
                f"{parts.hostname}:{port} ({name}) cannot be reached ({type(error).__name__}): "
                f"check network, firewall, proxy"
            )
        writer.close()
    return None


def _second_addresses(credentials: dict[str, Any]) -> dict[str, str]:
    return {
        name: value
        for name, value in credentials.items()
        if name.startswith("second_")
        and isinstance(value, str)
        and value.startswith(("https://", "http://"))
    }

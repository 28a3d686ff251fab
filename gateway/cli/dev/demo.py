"""The demo shop of `tillgate dev`: one merchant, store and till, an account at every channel the
sandbox plays, and cash.

Everything is looked for before it is made, so that a second run on the same folder goes on with the
same shop.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from adapters.channel import Manifest
from gateway.cli.dev.sandbox_control import SandboxControl
from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries
from gateway.domain.errors import FieldInvalid
from gateway.domain.web_address import web_address
from gateway.limits import WEBHOOK_CONCURRENCY_DEFAULT
from gateway.storage.registries.accounts import AccountListing
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.keys import IssuedKey
from security.key_material import KeyEnvironment
from security.roles import Role

MERCHANT: Final = "mer_demo"
STORE: Final = "sto_demo"
TERMINAL: Final = "term_demo"
PRIORITIES: Final = (100, 200)  # of the accounts of one wallet: the first is tried first

Document = dict[str, Any]


async def open_shop(
    registries: Registries,
    control: SandboxControl,
    manifests: Mapping[str, Manifest],
    *,
    base_url: str,
    webhook_url: str,
    before: Mapping[str, Any],
) -> Document:
    """Make or find the shop; the content of dev.json.

    `before` is dev.json of the last run, or empty.
    """
    await _make_shop(registries)
    keys = await _keys(registries, before)
    accounts = await _accounts(registries, control, manifests)
    return {
        "base_url": base_url,
        "sandbox_url": control.url,
        "merchant_id": MERCHANT,
        "store_id": STORE,
        **keys,
        "accounts": [
            {"id": each.id, "channel": each.channel, "priority": each.priority} for each in accounts
        ],
        **await _endpoint(registries, webhook_url, before),
    }


async def _make_shop(registries: Registries) -> None:
    people = registries.people
    if MERCHANT not in {merchant.id for merchant in await people.merchants()}:
        with suppress(RegistryError):  # two that start at once: the other made it
            await people.create_merchant("Demo Noodle House", MERCHANT)
    if STORE not in {store.id for store in await people.stores(MERCHANT)}:
        await people.create_store(MERCHANT, "East Gate", STORE)
    if TERMINAL not in {terminal.id for terminal in await people.terminals(MERCHANT)}:
        await people.create_terminal(MERCHANT, STORE, "Till 1", TERMINAL)


async def _keys(registries: Registries, before: Mapping[str, Any]) -> Document:
    """The keys of the last run while they live; else new ones, and the old ones revoked, because
    nobody knows their secrets.
    """
    live = {key.id for key in await registries.people.keys(MERCHANT) if key.revoked_at is None}
    known = {name: before[name] for name in ("merchant_key", "terminal_key") if name in before}
    if len(known) == 2 and all(key["id"] in live for key in known.values()):  # noqa: PLR2004  both
        return known
    for key_id in live:
        await registries.people.revoke_key(key_id)
    return {
        "merchant_key": _shown(
            await registries.people.issue_merchant_key(MERCHANT, Role.MERCHANT, KeyEnvironment.TEST)
        ),
        "terminal_key": _shown(
            await registries.people.issue_terminal_key(MERCHANT, TERMINAL, KeyEnvironment.TEST)
        ),
    }


def _shown(key: IssuedKey) -> dict[str, str]:
    return {"id": key.id, "secret": key.secret.reveal()}


async def _accounts(
    registries: Registries, control: SandboxControl, manifests: Mapping[str, Manifest]
) -> list[AccountListing]:
    """Two enabled accounts of each wallet, the second a backup.

    The sandbox gives credentials once, so an account it does not know is disabled, not repaired.
    """
    at_sandbox, played = await control.accounts(), await control.channels()
    for manifest in manifests.values():
        mine = [
            each
            for each in await registries.accounts.accounts(MERCHANT)
            if each.channel == manifest.channel and each.enabled
        ]
        if manifest.settles == "local":
            if not mine:
                await registries.accounts.create(MERCHANT, manifest.channel)
            continue
        usable = [
            each for each in mine if not each.problem and (each.channel, each.id) in at_sandbox
        ]
        for each in mine:
            if each not in usable:
                await registries.accounts.place(each.id, enabled=False)
        for each in usable:
            await _follow(registries, each, at_sandbox[each.channel, each.id])
        taken = {each.priority for each in usable}
        for priority in [each for each in PRIORITIES if each not in taken][
            : len(PRIORITIES) - len(usable)
        ]:
            if manifest.channel in played:
                await _enrol(registries, control, manifest.channel, priority)
    return [each for each in await registries.accounts.accounts(MERCHANT) if each.enabled]


async def _enrol(
    registries: Registries, control: SandboxControl, channel: str, priority: int
) -> None:
    account_id = f"acct_{channel}_{secrets.token_hex(3)}"
    credentials = await control.enrol(channel, account_id)
    await registries.accounts.create(
        MERCHANT,
        channel,
        json.dumps(credentials).encode(),
        priority=priority,
        account_id=account_id,
    )


async def _follow(
    registries: Registries, account: AccountListing, addresses: tuple[str, str]
) -> None:
    """The sandbox moves an account to another port when its own was taken meanwhile: the main host,
    or the `second_…` one, or both.
    """
    for name, value in account.credentials.items():
        if isinstance(value, str) and value.startswith("http://127.0.0.1:"):
            old, new = "/".join(value.split("/", 3)[:3]), addresses[name.startswith("second_")]
            if old != new:
                await registries.accounts.replace_address(account.id, old, new)


async def _endpoint(registries: Registries, url: str, before: Mapping[str, Any]) -> Document:
    """The endpoint of the last run, moved to where the listener is now and enabled; else a new one,
    because nobody knows its secret.
    """
    known = {
        name: before[name] for name in ("webhook_endpoint", "webhook_secret") if name in before
    }
    try:
        if len(known) == 2 and await registries.endpoints.move(  # noqa: PLR2004  both
            MERCHANT, known["webhook_endpoint"], web_address(url)
        ):
            await registries.webhooks.enable(
                MERCHANT, known["webhook_endpoint"], registries.asked_by
            )
            return known
        issued = await registries.webhooks.create(
            MERCHANT, url, (), WEBHOOK_CONCURRENCY_DEFAULT, None, asked_by=registries.asked_by
        )
    except FieldInvalid as refusal:
        raise CommandError(
            f"the demo's webhook endpoint {url} is refused: {refusal.detail}"
        ) from refusal
    assert issued.secret is not None, "it was made without a key"
    return {"webhook_endpoint": issued.endpoint.id, "webhook_secret": issued.secret.reveal()}

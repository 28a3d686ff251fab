"""The demo shop of `tillgate dev`: one merchant, store and till, an account at every channel the sandbox plays, and cash.

Everything is looked for before it is made, so that a second run on the same folder goes on with the same shop.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from adapters.channel import Manifest
from gateway.cli.registries import Registries
from gateway.cli.sandbox_control import SandboxControl
from gateway.storage.account_registry import AccountListing
from gateway.storage.registry import IssuedKey, RegistryError
from security.key_material import KeyEnvironment
from security.roles import Role

MERCHANT: Final = "mer_demo"
STORE: Final = "sto_demo"
TERMINAL: Final = "term_demo"
WEBHOOK_SECRET_BYTES: Final = 32

Document = dict[str, Any]


async def open_shop(
    registries: Registries, control: SandboxControl, manifests: Mapping[str, Manifest], *, base_url: str, before: Mapping[str, Any]
) -> Document:
    """Make or find the shop; the content of dev.json. `before` is dev.json of the last run, or empty."""
    await _make_shop(registries)
    keys = await _keys(registries, before)
    accounts = await _accounts(registries, control, manifests)
    return {
        "base_url": base_url,
        "sandbox_url": control.url,
        "merchant_id": MERCHANT,
        "store_id": STORE,
        **keys,
        "accounts": [{"id": each.id, "channel": each.channel, "priority": each.priority} for each in accounts],
        "webhook_secret": before.get("webhook_secret") or _new_webhook_secret(),
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
    """The keys of the last run while they live; else new ones, and the old ones revoked, because nobody knows their secrets."""
    live = {key.id for key in await registries.people.keys(MERCHANT) if key.revoked_at is None}
    known = {name: before[name] for name in ("merchant_key", "terminal_key") if name in before}
    if len(known) == 2 and all(key["id"] in live for key in known.values()):  # noqa: PLR2004  both
        return known
    for key_id in live:
        await registries.people.revoke_key(key_id)
    return {
        "merchant_key": _shown(await registries.people.issue_merchant_key(MERCHANT, Role.MERCHANT, KeyEnvironment.TEST)),
        "terminal_key": _shown(await registries.people.issue_terminal_key(MERCHANT, TERMINAL, KeyEnvironment.TEST)),
    }


def _shown(key: IssuedKey) -> dict[str, str]:
    return {"id": key.id, "secret": key.secret.reveal()}


async def _accounts(registries: Registries, control: SandboxControl, manifests: Mapping[str, Manifest]) -> list[AccountListing]:
    """One enabled account a channel. The sandbox gives credentials once, so an account it does not know is disabled, not repaired."""
    at_sandbox, played = await control.accounts(), await control.channels()
    for manifest in manifests.values():
        mine = [each for each in await registries.accounts.accounts(MERCHANT) if each.channel == manifest.channel and each.enabled]
        if manifest.settles == "local":
            if not mine:
                await registries.accounts.create(MERCHANT, manifest.channel)
            continue
        usable = [each for each in mine if not each.problem and (each.channel, each.id) in at_sandbox]
        for each in mine:
            if each not in usable:
                await registries.accounts.place(each.id, enabled=False)
        for each in usable:
            await _follow(registries, each, at_sandbox[each.channel, each.id])
        if not usable and manifest.channel in played:
            await _enrol(registries, control, manifest.channel)
    return [each for each in await registries.accounts.accounts(MERCHANT) if each.enabled]


async def _enrol(registries: Registries, control: SandboxControl, channel: str) -> None:
    account_id = f"acct_{channel}_{secrets.token_hex(3)}"
    credentials = await control.enrol(channel, account_id)
    await registries.accounts.create(MERCHANT, channel, json.dumps(credentials).encode(), account_id=account_id)


async def _follow(registries: Registries, account: AccountListing, address: str) -> None:
    """The sandbox moves an account to another port when its own was taken meanwhile."""
    texts = [value for value in account.credentials.values() if isinstance(value, str) and value.startswith("http://127.0.0.1:")]
    for old in {"/".join(text.split("/", 3)[:3]) for text in texts}:
        if old != address:
            await registries.accounts.replace_address(account.id, old, address)


def _new_webhook_secret() -> str:
    """As Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(WEBHOOK_SECRET_BYTES)).decode()}"

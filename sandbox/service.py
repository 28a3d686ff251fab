"""The sandbox as one object: ledger, book, accounts with their ports, faults.

`control.py` is its only door.
"""

import asyncio
import functools
import pathlib
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from sandbox.accounts import Accounts
from sandbox.acts import Acts
from sandbox.book import Book, now_ms
from sandbox.callbacks import Callbacks, Post
from sandbox.channel import HOSTS, MAIN, SECOND, Account, Channel, Desk
from sandbox.discovery import discover
from sandbox.exchange import Exchange
from sandbox.faults import Fault, Faults
from sandbox.ledger import Ledger
from sandbox.listener import Listener, keep_port
from sandbox.surroundings import Settings, Surroundings


class AccountTakenError(Exception):
    """This account name is enrolled; its credentials were handed out once and are not kept."""


@dataclass(slots=True)
class OpenAccount:
    """An account in operation."""

    account: Account
    desk: Desk
    acts: Acts
    callbacks: Callbacks
    listeners: dict[str, Listener]  # by host


class Service:
    """Everything that runs in the channel process."""

    def __init__(self, channels: dict[str, Channel], ledger: Ledger, accounts: Accounts) -> None:
        self.channels = channels
        self.ledger = ledger
        self.accounts = accounts
        self.book = Book()
        self.faults = Faults()
        self.settings: dict[str, Settings] = {
            name: channel.settings() for name, channel in channels.items()
        }
        self.open_accounts: dict[tuple[str, str], OpenAccount] = {}
        self._post = Post()
        self._enrolling = asyncio.Lock()

    @classmethod
    async def start(cls, data: pathlib.Path) -> Self:
        """Takes the data folder, rebuilds the book, opens every enrolled account's port."""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger = await Ledger.start(data / "ledger.jsonl")
        service = cls(discover(), ledger, Accounts(data / "accounts.json"))
        service.book.load(ledger)
        for account in service.accounts.all.values():
            await service._open(account)
        await service.accounts.save()
        return service

    async def stop(self) -> None:
        """Closes the ports, then the ledger."""
        for one in self.open_accounts.values():
            one.acts.stop()
        await asyncio.gather(
            *(
                each.close()
                for one in self.open_accounts.values()
                for each in one.listeners.values()
            )
        )
        await asyncio.gather(*(one.callbacks.stop() for one in self.open_accounts.values()))
        await self._post.close()
        await self.ledger.close()

    async def enrol(
        self, channel: str, name: str, mode: str, profile: str, callback_url: str | None
    ) -> tuple[Account, dict[str, Any]]:
        """The merchant console: a new account with its keys and its ports.

        Returns the credentials, once.
        """
        async with self._enrolling:
            if (channel, name) in self.accounts.all:
                raise AccountTakenError
            # The credentials name them before they listen.
            with keep_port(0) as main, keep_port(0) as second:
                account = Account(
                    channel, name, mode, profile, main.getsockname()[1], {}, second.getsockname()[1]
                )
                credentials = await self.channels[channel].enrol(account, callback_url)
                await self._open(account)
            await self.accounts.add(account)
            return account, credentials

    async def arm(self, **terms: Any) -> Fault:
        """Arms a checked fault; `refuse_connection` acts at once."""
        fault = self.faults.arm(**terms)
        if fault.name == "refuse_connection":
            for (channel, name), one in self.open_accounts.items():
                for host, listener in one.listeners.items():
                    if fault.covers(channel, name, host):
                        listener.refuse()
            fault.fired = 1
        return fault

    async def disarm(self) -> list[dict[str, Any]]:
        """Disarms everything: ports open again, held callbacks go out."""
        rows = self.faults.disarm()
        for one in self.open_accounts.values():
            for listener in one.listeners.values():
                await listener.reopen()
            one.callbacks.release()
        return rows

    async def _open(self, account: Account) -> None:
        settings = self.settings[account.channel]
        acts = Acts(self.book, account, lambda: now_ms() + settings.clock_offset_ms)
        surroundings = Surroundings(account, acts, settings, self.accounts.save)
        desk = self.channels[account.channel].open(account, surroundings)
        callbacks = acts.listener = Callbacks(account, desk, self.book, self.faults, self._post)
        exchange = Exchange(account, desk, surroundings, self.book, self.faults)
        listeners = {host: Listener(functools.partial(exchange.serve, host)) for host in HOSTS}
        account.port = await listeners[MAIN].open(account.port)
        account.second_port = await listeners[SECOND].open(account.second_port)
        for host, listener in listeners.items():
            for fault in self.faults.refusing(account.channel, account.account, host):
                listener.refuse()
                fault.fired = 1
        self.open_accounts[account.channel, account.account] = OpenAccount(
            account, desk, acts, callbacks, listeners
        )
        acts.resume()

    def change_settings(self, channel: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Changes the named switches of a channel; answers all of them.

        Raises msgspec.ValidationError, and then changes none.
        """
        settings = self.settings[channel]
        changed = msgspec.convert(msgspec.structs.asdict(settings) | changes, type(settings))
        for name in changes:
            setattr(settings, name, getattr(changed, name))
        return self.settings_of(channel)

    def settings_of(self, channel: str) -> dict[str, Any]:
        """All switches of a channel."""
        return msgspec.structs.asdict(self.settings[channel])

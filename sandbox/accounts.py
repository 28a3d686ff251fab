"""Enrolled accounts on disk: what the channels keep of their merchants (DIR/accounts.json, mode
0600).
"""

import asyncio
import json
import os
import pathlib
from dataclasses import asdict

from sandbox.channel import Account


class Accounts:
    """All enrolments, by channel and name."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._saving = asyncio.Lock()
        rows = json.loads(path.read_text()) if path.exists() else []
        self.all: dict[tuple[str, str], Account] = {
            (row["channel"], row["account"]): Account(**row) for row in rows
        }

    async def add(self, account: Account) -> None:
        """Keeps a new account."""
        self.all[account.channel, account.account] = account
        await self.save()

    async def save(self) -> None:
        """Writes everything anew: whole or not at all."""
        async with self._saving:
            text = json.dumps([asdict(account) for account in self.all.values()], indent=1)
            await asyncio.to_thread(write_whole, self._path, text)


def write_whole(path: pathlib.Path, text: str) -> None:
    """Replaces a private file so that a reader never meets half of it."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)

"""The smallest server a merchant could have: it takes webhooks on a loopback port and believes
those whose signature holds.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from security.secret import Secret
from security.webhook_signature import ID, WebhookSignatureInvalid, verify

PATH: Final = "/webhooks"


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook as it came: headers with lower-case names, and the raw body."""

    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(slots=True)
class Listener:
    """`messages`: believed ones by event id, so that one that comes again counts once.

    `secret` None: nobody is believed yet.
    """

    url: str
    secret: Secret | None = None
    messages: dict[str, Message] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def message(self, kind: str, object_id: str, within_s: float) -> Message | None:
        """The believed webhook of this type about this object; None when none comes in time."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: self._found(kind, object_id) is not None)
        except TimeoutError:
            return None
        return self._found(kind, object_id)

    async def handle(self, request: web.Request) -> web.Response:
        """204, or 401 for what nobody signed."""
        message = Message(
            {name.lower(): value for name, value in request.headers.items()}, await request.read()
        )
        if self.secret is None or not believed(self.secret, message):
            return web.Response(status=401)
        self.messages[message.headers[ID]] = message
        async with self._news:
            self._news.notify_all()
        return web.Response(status=204)

    def _found(self, kind: str, object_id: str) -> Message | None:
        for message in self.messages.values():
            document = message.document
            if (
                document["type"] == kind
                and document["data"][kind.partition(".")[0]]["id"] == object_id
            ):
                return message
        return None


def believed(secret: Secret, message: Message) -> bool:
    """Whether its signature holds, now."""
    try:
        verify(secret, message.headers, message.body, now_s=time.time())
    except WebhookSignatureInvalid:
        return False
    return True


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """On a free loopback port, until the block ends."""
    listener = Listener("")
    app = web.Application()
    app.router.add_post(PATH, listener.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        yield listener
    finally:
        await runner.cleanup()

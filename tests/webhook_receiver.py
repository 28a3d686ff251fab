"""A merchant's server: a real HTTP server on a free loopback port, which keeps what it was sent and
misbehaves as it is told.

What it believes is what a merchant would: a message counts when its signature holds, and an id it
has seen is only counted. Every accepted message is verified twice, by ours and by the
`standardwebhooks` package, which knows nothing of us.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from security.secret import Secret
from security.webhook_signature import verify
from tests.patience import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass(slots=True)
class WebhookReceiver:
    """`behaviour` answers from now on; `secret` None: signatures are not looked at.

    `believed`: the merchant's own view, by event id.
    """

    base_url: str
    secret: Secret | None = None
    behaviour: Callable[[web.Request], Any] = field(default_factory=lambda: answering(200))
    received: list[Received] = field(default_factory=list)
    believed: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"{self.base_url}/hooks"

    @property
    def times(self) -> Counter[str]:
        """Event id -> how often it came."""
        return Counter(each.id for each in self.received)

    async def arrived(self, count: int, within_s: float = PATIENCE_S) -> list[Received]:
        """Once so many requests have come, repeated ones included; all of them."""
        async with asyncio.timeout(within_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def has(
        self, holds: Callable[[dict[str, dict[str, Any]]], bool], within_s: float = PATIENCE_S
    ) -> None:
        """Until what it believes is so."""
        async with asyncio.timeout(within_s), self._arrived:
            await self._arrived.wait_for(lambda: holds(self.believed))

    def newest(self) -> dict[str, dict[str, Any]]:
        """Object id -> the object at its highest version: what a merchant has in its books."""
        view: dict[str, dict[str, Any]] = {}
        for document in self.believed.values():
            (thing,) = document["data"].values()
            if thing["version"] > view.get(thing["id"], {"version": 0})["version"]:
                view[thing["id"]] = thing
        return view

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep it, look at its signature, behave."""
        body = await request.read()
        self._keep(
            Received(
                request.path, {name.lower(): value for name, value in request.headers.items()}, body
            )
        )
        async with self._arrived:
            self._arrived.notify_all()
        answer: web.StreamResponse = await self.behaviour(request)
        return answer

    def _keep(self, message: Received) -> None:
        self.received.append(message)
        if self.secret is None:
            return
        try:
            event_id = verify(self.secret, message.headers, message.body, now_s=time.time())
            Webhook(self.secret.reveal()).verify(message.body, message.headers)
        except Exception as error:  # noqa: BLE001 - the test reads the list
            self.refused.append(f"{type(error).__name__}: {error}")
            return
        if self.believed.setdefault(event_id, message.document) != message.document:
            self.refused.append(f"{event_id} came with another body")


@contextlib.asynccontextmanager
async def webhook_receiver(
    secret: Secret | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebhookReceiver]:
    """Listening; closed on the way out, whoever still waits for it."""
    receiver = WebhookReceiver("", secret)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def answering(status: int, text: str = "", **headers: str) -> Callable[[web.Request], Any]:
    """At once, with this status."""

    async def behave(_request: web.Request) -> web.Response:
        return web.Response(
            status=status,
            text=text,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return behave


def held(until: asyncio.Event, status: int = 200) -> Callable[[web.Request], Any]:
    """Answers when the event is set."""

    async def behave(_request: web.Request) -> web.Response:
        await until.wait()
        return web.Response(status=status)

    return behave


async def dropping(request: web.Request) -> web.Response:
    """The line breaks before an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def without_end(status: int) -> Callable[[web.Request], Any]:
    """The status at once, and a body that never ends."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    return behave

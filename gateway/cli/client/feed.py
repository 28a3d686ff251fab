"""The feed of events, read page by page; each event with the bytes that a webhook would carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.cli.client.shown import summary
from gateway.cli.failures import CommandError

if TYPE_CHECKING:
    from gateway.cli.client.client import Client

PAGE: Final = 100
PAUSE_S: Final = 1.0  # between two looks at the end of the feed


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """`body`: exactly as it was stored; `behind`: the cursor that brings its page again."""

    body: bytes
    behind: str | None

    @property
    def document(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    next_cursor: str | None
    has_more: bool


class Feed:
    """Where one reader stands; `cursor` None: at the beginning."""

    def __init__(self, client: Client, cursor: str | None = None) -> None:
        self._client = client
        self.cursor = cursor

    async def skip(self) -> None:
        """To the end: what happened so far is not shown."""
        while (await self._page()).has_more:
            pass

    async def events(self, *, follow: bool) -> AsyncIterator[FeedEvent]:
        """To the end, and with `follow` for ever. Raises CommandError when the gateway refuses."""
        while True:
            behind = self.cursor
            page = await self._page()
            for raw in page.data:
                yield FeedEvent(bytes(raw), behind)
            if not page.has_more:
                if not follow:
                    return
                await asyncio.sleep(PAUSE_S)

    async def _page(self) -> _Page:
        after = f"&after={self.cursor}" if self.cursor else ""
        answer = await self._client.call("GET", f"/v1/events?limit={PAGE}{after}")
        if not answer.ok:
            raise CommandError(f"{answer.status} {summary(answer.document)}")
        page = msgspec.json.decode(answer.text, type=_Page)
        self.cursor = page.next_cursor or self.cursor
        return page


def line(event: dict[str, Any]) -> str:
    """One event in one line."""
    (thing,) = event["data"].values()
    about = thing.get("order_no") or thing.get("payment_id", "")
    verdict = (thing.get("verdict") or {}).get("zh", "")
    return (
        f"{event['created_at'][:19]}  {event['type']:22} {thing['id']}  v{thing['version']}  "
        f"{about}  {verdict}"
    )

"""`tillgate listen`: events to a program on this machine, signed as webhooks are, without an
endpoint.

It reads the feed of events, as a merchant's server may. Nothing is repeated by itself: an event
whose forwarding failed is told with the cursor that brings it back.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.cli.client.caller import add_caller_arguments, client_of, reached
from gateway.cli.client.feed import Feed, FeedEvent, line

if TYPE_CHECKING:
    import aiohttp

    from security.secret import Secret

FORWARD_S: Final = 15.0  # as long as the courier gives a merchant
LOCAL: Final = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and from when."""
    parser.add_argument(
        "--forward-to",
        metavar="URL",
        type=local_address,
        help="a program on this machine, http://localhost:3000/hook; left out: events are shown",
    )
    parser.add_argument(
        "--webhook-secret",
        metavar="FILE",
        help="file with the whsec_… to sign with (default: a new one, shown at the start)",
    )
    parser.add_argument(
        "--after", metavar="CURSOR", help="begin behind this cursor (default: what happens now)"
    )
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Until Ctrl-C."""
    options.as_merchant = True  # a till may not read events
    client = client_of(options)
    secret = _signing_secret(options)

    async def listen() -> None:
        import aiohttp  # noqa: PLC0415  most of a second, and --help needs none of it

        timeout = aiohttp.ClientTimeout(total=FORWARD_S)
        async with client, aiohttp.ClientSession(timeout=timeout) as session:
            feed = Feed(client, options.after)
            if options.after is None:
                await feed.skip()
            print(f"listening; WEBHOOK_SECRET={secret.reveal()}", flush=True)
            async for event in feed.events(follow=True):
                told = line(event.document)
                if options.forward_to is not None:
                    answer, went_well = await _forward(session, options.forward_to, secret, event)
                    told = f"{told} -> {answer}"
                    if not went_well and event.behind is not None:
                        told += f"; again with --after {event.behind}"
                print(told, flush=True)

    asyncio.run(reached(client.base_url, listen()))
    return 0


def local_address(text: str) -> str:
    """Events tell of customers: they stay on this machine."""
    parts = urlsplit(text)
    if parts.scheme != "http" or parts.hostname not in LOCAL:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not on this machine: write http://localhost:PORT/PATH; "
            f"for a server elsewhere `tillgate webhook create` makes an endpoint"
        )
    return text


async def _forward(
    session: aiohttp.ClientSession, url: str, secret: Secret, event: FeedEvent
) -> tuple[str, bool]:
    """What was answered, and whether it was a success."""
    import aiohttp  # noqa: PLC0415  as above

    from security.webhook_signature import signed_headers  # noqa: PLC0415  as above

    headers = signed_headers(
        [secret], message_id=event.document["id"], timestamp=int(time.time()), body=event.body
    )
    try:
        async with session.post(
            url,
            data=event.body,
            headers={**headers, "Content-Type": "application/json"},
            allow_redirects=False,
        ) as answer:
            return str(answer.status), answer.ok
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer ({type(error).__name__})", False


def _signing_secret(options: argparse.Namespace) -> Secret:
    from gateway.cli.client.caller import read_secret  # noqa: PLC0415
    from security.webhook_signature import new_secret  # noqa: PLC0415

    return read_secret(options.webhook_secret) if options.webhook_secret else new_secret()

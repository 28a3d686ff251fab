"""`tillgate events`: what happened, in commit order; with --follow as it happens."""

import argparse
import asyncio

from gateway.cli.client.caller import add_caller_arguments, client_of, reached
from gateway.cli.client.feed import Feed, line
from gateway.cli.surroundings import add_json_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Filters, and where to begin."""
    parser.add_argument("--follow", "-f", action="store_true", help="go on as events happen")
    parser.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        help="of this type only, such as payment.succeeded; several times for several",
    )
    parser.add_argument("--order", metavar="NO", help="of payments of this bill only")
    parser.add_argument("--payment", metavar="ID", help="of this payment and its refunds only")
    parser.add_argument(
        "--after", metavar="CURSOR", help="begin behind this cursor (default: at the beginning)"
    )
    parser.add_argument("--new", action="store_true", help="begin at the end: only what is new")
    add_json_argument(parser)
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One line an event; --json gives the events as a webhook carries them, one a line."""
    options.as_merchant = True  # a till may not read events
    client = client_of(options)

    async def read() -> None:
        async with client:
            feed = Feed(client, options.after)
            if options.new:
                await feed.skip()
            async for event in feed.events(follow=options.follow):
                document = event.document
                if wanted(document, options):
                    print(event.body.decode() if options.json else line(document), flush=True)

    asyncio.run(reached(client.base_url, read()))
    return 0


def wanted(event: dict[str, object], options: argparse.Namespace) -> bool:
    """Whether all filters let it through."""
    data = event["data"]
    assert isinstance(data, dict), "the gateway gives an object"
    (thing,) = data.values()
    payment = thing.get("payment_id", thing["id"])
    return (
        (options.type is None or event["type"] in options.type)
        and options.order in (None, thing.get("order_no"))
        and options.payment in (None, payment)
    )

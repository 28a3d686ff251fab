"""`tillgate trigger`: make an event of a kind happen in the demo shop of `tillgate dev`."""

import argparse
import asyncio
from typing import Final

from gateway.cli.client.caller import dev_json, reached
from gateway.cli.surroundings import add_data_argument

KINDS: Final = (
    "payment.awaiting_payer",
    "payment.canceled",
    "payment.expired",
    "payment.failed",
    "payment.in_doubt",
    "payment.paid_late",
    "payment.succeeded",
    "refund.processing",
    "refund.succeeded",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One kind."""
    parser.add_argument("kind", choices=KINDS, metavar="TYPE", help=", ".join(KINDS))
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the object that the event is about."""
    document = dev_json(options)
    from gateway.cli.dev.triggers import pull  # noqa: PLC0415  the drivers, and --help needs none

    thing = asyncio.run(reached(document["base_url"], pull(options.kind, document)))
    print(f"{options.kind}  {thing['id']}  {thing['status']} · {thing['verdict']['zh']}")
    return 0

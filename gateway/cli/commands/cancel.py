"""`tillgate cancel`: do not let a payment succeed."""

import argparse

from gateway.cli.client.caller import add_caller_arguments, send
from gateway.cli.surroundings import add_json_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The payment, and how long to wait."""
    parser.add_argument("payment", metavar="PAYMENT_ID")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=int, help="how long to wait for the channel, 0 to 30"
    )
    add_json_argument(parser)
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Safe to repeat. A payment that is paid is refused: refund it. The exit code tells the
    verdict.
    """
    return send(options, lambda client: client.cancel(options.payment, wait_s=options.wait))

"""`tillgate query`: a payment as it stands now."""

import argparse

from gateway.cli.client.caller import add_caller_arguments, send
from gateway.cli.surroundings import add_json_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """By id, or by the bill's number."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("payment", metavar="PAYMENT_ID", nargs="?")
    which.add_argument("--order", metavar="NO", help="all payments of a bill, newest first")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=int, help="wait for the next change, up to 30"
    )
    add_json_argument(parser)
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """The exit code tells the verdict."""
    if options.order is not None:
        return send(options, lambda client: client.payments(order_no=options.order))
    return send(options, lambda client: client.payment(options.payment, wait_s=options.wait))

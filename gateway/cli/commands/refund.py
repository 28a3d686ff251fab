"""`tillgate refund`: money back for one payment."""

import argparse
import secrets
import sys

from gateway.cli.client.caller import add_caller_arguments, send
from gateway.cli.client.money import fen_argument
from gateway.cli.surroundings import add_json_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The payment, the amount, why."""
    parser.add_argument("payment", metavar="PAYMENT_ID")
    parser.add_argument(
        "amount", type=fen_argument, help="fen; at most what is left of the captured amount"
    )
    parser.add_argument("--reason", default="requested by the customer")
    parser.add_argument(
        "--refund-no",
        metavar="NO",
        help="the merchant's number of this refund (default: a new one, shown)",
    )
    parser.add_argument("--operator", metavar="ID", help="the cashier")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=int, help="how long to wait for the channel, 0 to 30"
    )
    add_json_argument(parser)
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Send it; the refund number doubles as Idempotency-Key,
    so a repeat with the same number is safe.
    """
    number = options.refund_no or f"r-{secrets.token_hex(6)}"
    print(f"refund_no: {number}", file=sys.stderr)
    refund = {"refund_no": number, "amount": options.amount, "reason": options.reason}
    if options.operator is not None:
        refund["operator_id"] = options.operator
    return send(
        options,
        lambda client: client.refund(options.payment, refund, f"cli-{number}", wait_s=options.wait),
    )

"""`tillgate pay`: one payment, as a till would send it."""

from __future__ import annotations

import argparse
import secrets
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Any

from gateway.cli.client.caller import add_caller_arguments, send
from gateway.cli.client.money import fen_argument
from gateway.cli.surroundings import add_json_argument

if TYPE_CHECKING:
    from gateway.cli.client.client import Answer, Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Amounts are fen, as in the API."""
    parser.add_argument("amount", type=fen_argument, help="fen: 12850 is 128.50 yuan")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument(
        "--code",
        metavar="AUTH_CODE",
        help="the customer's payment code; - reads it from standard input",
    )
    way.add_argument(
        "--qr", metavar="CHANNEL", help="show a QR code of this channel (alipay, wechat)"
    )
    way.add_argument("--cash", metavar="TENDERED", type=fen_argument, help="cash handed over, fen")
    parser.add_argument("--order", metavar="NO", help="the bill's number (default: a new one)")
    parser.add_argument(
        "--tender", metavar="N", type=int, default=1, help="which payment of the bill (default 1)"
    )
    parser.add_argument(
        "--order-amount",
        metavar="FEN",
        type=fen_argument,
        help="the bill's total; its tenders never exceed it",
    )
    parser.add_argument(
        "--override",
        nargs=3,
        metavar=("PAYMENT_ID", "SUPERVISOR", "REASON"),
        help=(
            "take this tender although that payment of the bill is in doubt; "
            "a later yes of it is refunded by itself; asks for the supervisor's PIN"
        ),
    )
    parser.add_argument("--store", metavar="ID", help="the store; needed with a merchant key")
    parser.add_argument("--operator", metavar="ID", help="the cashier")
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="to repeat a request safely (default: a new one, shown)",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=int, help="how long to wait for the channel, 0 to 30"
    )
    add_json_argument(parser)
    add_caller_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Send it, and draw the QR code that is to be shown; the exit code tells the verdict."""
    key = options.idempotency_key or f"cli-{secrets.token_hex(8)}"
    print(f"Idempotency-Key: {key}", file=sys.stderr)

    async def pay(client: Client) -> Answer:
        answer = await client.pay(_payment(options), key, wait_s=options.wait)
        _draw((answer.document.get("next_action") or {}).get("qr_code"))
        return answer

    return send(options, pay)


def _draw(text: str | None) -> None:
    """On standard error, where a terminal is: standard output is the answer's."""
    if text is not None and sys.stderr.isatty():
        import segno  # noqa: PLC0415  only where something is drawn

        segno.make(text, error="m").terminal(out=sys.stderr, compact=True)


def _payment(options: argparse.Namespace) -> dict[str, Any]:
    payment: dict[str, Any] = {
        "order_no": options.order or f"cli-{secrets.token_hex(6)}",
        "tender_no": options.tender,
        "amount": options.amount,
    }
    if options.code is not None:
        payment["auth_code"] = sys.stdin.readline().strip() if options.code == "-" else options.code
    elif options.qr is not None:
        payment |= {"method": options.qr, "flow": "qr"}
    else:
        payment |= {"method": "cash", "cash": {"tendered": options.cash}}
    override = None
    if options.override:
        payment_id, supervisor, reason = options.override
        pin = getpass(f"PIN of {supervisor}: ")
        override = {
            "payment_id": payment_id,
            "supervisor": {"id": supervisor, "pin": pin},
            "reason": reason,
        }
    optional = {
        "order_amount": options.order_amount,
        "override": override,
        "store_id": options.store,
        "operator_id": options.operator,
    }
    return payment | {name: value for name, value in optional.items() if value is not None}

"""`tillgate webhook`: where merchants are told of events, what was delivered,
and what is to be sent again.

A secret is printed once, when it is made, and can never be read again.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table
from gateway.domain.errors import GatewayError, StoreUnavailable
from gateway.limits import (
    LIST_LIMIT_MAX,
    WEBHOOK_CONCURRENCY_DEFAULT,
    WEBHOOK_CONCURRENCY_MAX,
    WEBHOOK_RESEND_MAX,
)
from gateway.webhooks.endpoints import (
    BY_HAND,
    GONE,
    DeliveryFilter,
    DeliveryRecord,
    Endpoint,
    Issued,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, list, rotate, disable, enable, resend, deliveries."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new endpoint, told of everything from now on")
    create.add_argument("merchant", metavar="MERCHANT_ID")
    create.add_argument("url", metavar="URL", help="https://host/path, reachable from here")
    create.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        default=[],
        help="of these events only, such as payment.succeeded",
    )
    create.add_argument(
        "--concurrency",
        type=int,
        choices=range(1, WEBHOOK_CONCURRENCY_MAX + 1),
        default=WEBHOOK_CONCURRENCY_DEFAULT,
        metavar="N",
        help=f"deliveries under way at once (default {WEBHOOK_CONCURRENCY_DEFAULT})",
    )
    listing = acts.add_parser("list", help="the endpoints of a merchant, or of all")
    listing.add_argument("merchant", metavar="MERCHANT_ID", nargs="?")
    add_json_argument(listing)
    single = {name: acts.add_parser(name, help=text) for name, text in SINGLE}
    for each in single.values():
        each.add_argument("endpoint", metavar="ENDPOINT_ID")
    what = single["resend"].add_mutually_exclusive_group(required=True)
    what.add_argument("--event", metavar="ID", help="this event, whatever became of it")
    what.add_argument(
        "--dead-since",
        metavar="TIME",
        type=_moment,
        help="the dead letters of events from then on (RFC 3339; UTC unless said)",
    )
    add_json_argument(single["deliveries"])
    single["deliveries"].add_argument("--event", metavar="ID", help="of this event only")
    single["deliveries"].add_argument(
        "--state", choices=["waiting", "delivered", "dead"], help="in this state only"
    )
    for each in (create, listing, *single.values()):
        add_data_argument(each)


SINGLE = (
    ("rotate", "a new signing secret; the one before it signs too for a day"),
    ("disable", "send nothing more; what waits becomes dead letters"),
    ("enable", "send again, from now on"),
    ("resend", "send an event again, or the dead letters since a time"),
    ("deliveries", "what became of each event, and what was answered"),
)


DISABLED = {BY_HAND: "disabled by a person", GONE: "disabled: it answered 410"}


def run(options: argparse.Namespace) -> int:
    """Do it. Refusals of the API are this command's too."""

    async def work(opened: Registries) -> None:
        try:
            await _work(options, opened)
        except StoreUnavailable:
            raise
        except GatewayError as refusal:
            raise CommandError(refusal.detail) from refusal

    return act(options, work)


async def _work(options: argparse.Namespace, opened: Registries) -> None:
    desk = opened.webhooks
    match options.act:
        case "create":
            _show_once(
                await desk.create(
                    options.merchant,
                    options.url,
                    options.type,
                    options.concurrency,
                    None,
                    asked_by=opened.asked_by,
                )
            )
        case "list":
            _list(await opened.endpoints.endpoints(options.merchant), as_json=options.json)
        case _:
            named = (await opened.endpoints.owner(options.endpoint), options.endpoint)
            await _about_one(options, opened, named)


async def _about_one(
    options: argparse.Namespace, opened: Registries, named: tuple[str, str]
) -> None:
    desk = opened.webhooks
    match options.act:
        case "rotate":
            _show_once(await desk.rotate(*named, opened.asked_by))
        case "disable":
            await desk.disable(*named, opened.asked_by)
            print(f"{options.endpoint} is disabled; what waited for it are dead letters")
        case "enable":
            await desk.enable(*named, opened.asked_by)
            print(f"{options.endpoint} is enabled, for what happens from now on")
        case "resend":
            resent = await desk.resend(*named, options.event, options.dead_since)
            print(
                f"{resent} due now"
                + ("; run it again for the rest" if resent == WEBHOOK_RESEND_MAX else "")
            )
        case _:
            found, has_more = await desk.deliveries(
                *named,
                DeliveryFilter(event_id=options.event, state=options.state, limit=LIST_LIMIT_MAX),
            )
            rows = [
                (
                    each.event_id,
                    each.type,
                    each.created_at,
                    each.state,
                    each.tries,
                    each.due_at,
                    _last(each),
                )
                for each in found
            ]
            head = (
                "event",
                "type",
                "created (UTC)",
                "state",
                "tries",
                "next try (UTC)",
                "last answer",
            )
            show_table(
                head, rows, nothing="nothing was sent to this endpoint yet", as_json=options.json
            )
            if has_more:
                print(
                    f"older ones are not shown (newest {LIST_LIMIT_MAX}): "
                    f"--event and --state narrow it down",
                    file=sys.stderr,
                )


def _last(delivery: DeliveryRecord) -> str | None:
    if not delivery.answers:
        return None
    newest = delivery.answers[0]
    return f"{newest.status or 'no answer'}: {newest.words}"


def _show_once(issued: Issued) -> None:
    assert issued.secret is not None
    print(f"id      {issued.endpoint.id}")
    print(f"secret  {issued.secret.reveal()}")
    print("Keep the secret now: it is stored sealed and never shown again.", file=sys.stderr)


def _list(endpoints: Sequence[Endpoint], *, as_json: bool) -> None:
    rows = [
        (
            each.id,
            each.merchant_id,
            each.url,
            ", ".join(each.event_types or ("all",)),
            "enabled" if each.enabled else DISABLED.get(each.disabled_reason or "", "disabled"),
            each.created_at,
        )
        for each in endpoints
    ]
    head = ("id", "merchant", "url", "events", "state", "created (UTC)")
    show_table(
        head,
        rows,
        nothing="no webhook endpoints yet: `tillgate webhook create MERCHANT_ID URL`",
        as_json=as_json,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""What callers may send: one struct a request, decoded strictly and described once (the OpenAPI
document is made from these).

A field that is not here is refused, so a till never believes that something was heard which was
not. Every number has bounds, every text a pattern; whatever is refused here has bound no
idempotency key and reached no store. Source: the payment, refund and list tables of the public
contract.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.domain.presenting import Flow
from gateway.domain.statuses import PaymentStatus, RefundStatus
from gateway.domain.words import Origin
from gateway.limits import (
    AMOUNT_FEN_MAX,
    AMOUNT_FEN_MIN,
    AUTH_CODE_CHARS_MAX,
    CURSOR_CHARS_MAX,
    DESCRIPTION_CHARS_MAX,
    EXPIRES_IN_S_MAX,
    EXPIRES_IN_S_MIN,
    LIST_LIMIT_DEFAULT,
    LIST_LIMIT_MAX,
    METADATA_CHARS_MAX,
    METADATA_KEY_CHARS_MAX,
    METADATA_KEYS_MAX,
    OVERRIDE_REASON_CHARS_MAX,
    REASON_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    TENDER_NO_MAX,
    WAIT_S_MAX,
    WEBHOOK_CONCURRENCY_DEFAULT,
    WEBHOOK_CONCURRENCY_MAX,
    WEBHOOK_EVENT_TYPES_MAX,
    WEBHOOK_URL_CHARS_MAX,
)
from gateway.webhooks.endpoints import DeliveryState
from security.secret import Secret

# Python's `$` also matches before a last line end, ECMAScript's (JSON Schema) does not: this means
# the same to both.
_END = r"$(?!\n)"
_REFERENCE = rf"^[A-Za-z0-9_-]{{1,{REFERENCE_CHARS_MAX}}}{_END}"
# No control character: Postgres refuses NUL, logs break at line ends.
_ONE_LINE = rf"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*{_END}"

_REFUND_NO = rf"^[A-Za-z0-9_.-]{{1,{REFERENCE_CHARS_MAX}}}{_END}"
_METHOD = rf"^[a-z][a-z0-9_]{{0,31}}{_END}"
_CURSOR = rf"^[!-~]{{1,{CURSOR_CHARS_MAX}}}{_END}"
_URL = rf"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+{_END}"
_EVENT_TYPE = rf"^[a-z_]{{1,32}}\.[a-z_]{{1,32}}{_END}"

PATTERN_MEANINGS = {
    repr(_REFERENCE): f"Expected 1 to {REFERENCE_CHARS_MAX} of A-Z a-z 0-9 _ -",
    repr(_REFUND_NO): f"Expected 1 to {REFERENCE_CHARS_MAX} of A-Z a-z 0-9 _ - .",
    repr(_ONE_LINE): "Expected one line of text without control characters",
    repr(_METHOD): "Expected the name of a channel, or auto",
    repr(_CURSOR): "Expected a next_cursor of an earlier answer",
    repr(_URL): "Expected an address: https:// and printable ASCII without blanks",
    repr(_EVENT_TYPE): "Expected an event type such as payment.succeeded",
}
"""For a refused text: what its pattern means to a person, by the pattern as msgspec quotes it."""

Amount = Annotated[
    int, Meta(ge=AMOUNT_FEN_MIN, le=AMOUNT_FEN_MAX, description="Fen, a JSON integer.")
]
Reference = Annotated[str, Meta(pattern=_REFERENCE)]
Text = Annotated[str, Meta(pattern=_ONE_LINE, max_length=METADATA_CHARS_MAX)]
Metadata = Annotated[
    dict[
        Annotated[str, Meta(pattern=_ONE_LINE, min_length=1, max_length=METADATA_KEY_CHARS_MAX)],
        Text,
    ],
    Meta(max_length=METADATA_KEYS_MAX, description="Your own references; returned as sent."),
]
Instant = Annotated[
    datetime,
    Meta(
        tz=True,
        description=(
            "RFC 3339 with an offset, of the years 2000 to 2100; write `+` as `%2B` in a query."
        ),
    ),
]
Url = Annotated[str, Meta(pattern=_URL, max_length=WEBHOOK_URL_CHARS_MAX)]
Limit = Annotated[int, Meta(ge=1, le=LIST_LIMIT_MAX, description="Objects on a page.")]


class CashBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cash put on the counter; the answer carries `change`."""

    tendered: Amount


class SupervisorBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The person who answers for an override."""

    id: Reference
    pin: Annotated[Secret, Meta(description="The person's own PIN; never stored or logged.")]


class OverrideBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A supervisor lets this tender open although another payment of the order is in doubt;
    recorded as a risk.
    """

    payment_id: Annotated[
        Reference,
        Meta(
            description=(
                "The payment in doubt: it can no longer succeed, a later yes is refunded by itself."
            )
        ),
    ]
    supervisor: Annotated[SupervisorBody, Meta(description="Who answers for it.")]
    reason: Annotated[
        str, Meta(pattern=_ONE_LINE, min_length=1, max_length=OVERRIDE_REASON_CHARS_MAX)
    ]


class PayBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payments`."""

    order_no: Annotated[
        Reference,
        Meta(
            description=(
                "The bill's number, unique in its store for ever: a till that numbers from 1 every "
                "day puts the date in front."
            )
        ),
    ]
    tender_no: Annotated[
        int, Meta(ge=1, le=TENDER_NO_MAX, description="Several tenders may pay one order.")
    ] = 1
    order_amount: Annotated[
        Annotated[int, Meta(ge=AMOUNT_FEN_MIN, le=AMOUNT_FEN_MAX)] | None,
        Meta(
            description=(
                "The bill's total in fen, fixed by the first tender that sends it; "
                "live and paid tenders never exceed it."
            )
        ),
    ] = None
    amount: Amount
    currency: Annotated[Literal["CNY"], Meta(description="ISO 4217.")]
    method: Annotated[
        str, Meta(pattern=_METHOD, description="A channel, or `auto`: found from the payment code.")
    ] = "auto"
    flow: Annotated[
        Flow | None,
        Meta(description="`code`: the till scans the customer; `qr`: the customer scans the till."),
    ] = None
    auth_code: Annotated[
        Secret | None,
        Meta(
            description=(
                "The scanned payment code; blanks are ignored; never stored or logged whole."
            )
        ),
    ] = None
    cash: CashBody | None = None
    expires_in: Annotated[
        Annotated[int, Meta(ge=EXPIRES_IN_S_MIN, le=EXPIRES_IN_S_MAX)] | None,
        Meta(description="Seconds a shown QR code lives; only for `qr`."),
    ] = None
    override: Annotated[
        OverrideBody | None,
        Meta(description="Only while another tender of the order is `in_doubt`."),
    ] = None
    store_id: Annotated[
        Reference | None, Meta(description="Which store is paid; a terminal's key already says it.")
    ] = None
    operator_id: Annotated[Reference | None, Meta(description="The cashier.")] = None
    description: Annotated[
        Annotated[str, Meta(pattern=_ONE_LINE, min_length=1, max_length=DESCRIPTION_CHARS_MAX)]
        | None,
        Meta(description="What the customer reads in the wallet."),
    ] = None
    metadata: Metadata = {}
    notify_url: Annotated[
        Url | None,
        Meta(
            description=(
                "This payment's and its refunds' events go there; "
                "same scheme, host and port as one of your webhook endpoints."
            )
        ),
    ] = None


class RefundBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payments/{payment_id}/refunds`."""

    refund_no: Annotated[
        Reference,
        Meta(
            description="Your number, unique for your merchant; the same number is the same refund."
        ),
    ]
    amount: Amount
    reason: Annotated[
        str,
        Meta(
            pattern=_ONE_LINE,
            max_length=REASON_CHARS_MAX,
            description="Shown to the customer where the channel does.",
        ),
    ] = ""
    operator_id: Reference | None = None


class CancelBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payments/{payment_id}/cancel`: nothing, or an empty object."""


class WebhookEndpointBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/webhook-endpoints`."""

    url: Annotated[Url, Meta(description="Where events are posted: https, a public host.")]
    event_types: Annotated[
        tuple[Annotated[str, Meta(pattern=_EVENT_TYPE)], ...],
        Meta(
            max_length=WEBHOOK_EVENT_TYPES_MAX,
            description="The types of `GET /v1/events` to be told of; none: all.",
        ),
    ] = ()
    concurrency: Annotated[
        int, Meta(ge=1, le=WEBHOOK_CONCURRENCY_MAX, description="Deliveries under way at once.")
    ] = WEBHOOK_CONCURRENCY_DEFAULT


class ResendBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/webhook-endpoints/{endpoint_id}/resend`: one event, or dead letters;
    exactly one of both fields.
    """

    event_id: Annotated[
        Reference | None, Meta(description="This event, whatever became of it.")
    ] = None
    dead_since: Annotated[
        Instant | None, Meta(description="The dead letters of events from then on, oldest first.")
    ] = None


class NothingBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that says everything by its path: nothing, or an empty object."""


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call without query parameters."""


class ReadQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /v1/payments/{payment_id}` and `GET /v1/refunds/{refund_id}`."""

    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=WAIT_S_MAX,
            description=(
                "Seconds to wait until `status`, `verdict` or `next_action.type` changes; "
                "what has ended is answered at once."
            ),
        ),
    ] = 0


class PaymentsQuery(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"since": "from", "until": "to"},
):
    """`GET /v1/payments`, newest first."""

    order_no: Reference | None = None
    status: PaymentStatus | None = None
    store_id: Reference | None = None
    method: Annotated[str, Meta(pattern=_METHOD)] | None = None
    channel_account: Reference | None = None
    out_trade_no: Reference | None = None
    channel_trade_no: Reference | None = None
    business_date: date | None = None
    channel_date: date | None = None
    paid_from: Instant | None = None
    paid_to: Instant | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Limit = LIST_LIMIT_DEFAULT
    starting_after: Annotated[
        Reference | None, Meta(description="The last payment id of the page before.")
    ] = None


class RefundsQuery(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"since": "from", "until": "to"},
):
    """`GET /v1/refunds`, newest first. The gateway's own refund numbers hold a dot."""

    refund_no: Annotated[str, Meta(pattern=_REFUND_NO)] | None = None
    status: RefundStatus | None = None
    origin: Origin | None = None
    payment: Reference | None = None
    store_id: Reference | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Limit = LIST_LIMIT_DEFAULT
    starting_after: Annotated[
        Reference | None, Meta(description="The last refund id of the page before.")
    ] = None


class EventsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /v1/events`, in commit order."""

    after: Annotated[
        Annotated[str, Meta(pattern=_CURSOR)] | None,
        Meta(description="`next_cursor` of the page before."),
    ] = None
    limit: Limit = LIST_LIMIT_DEFAULT


class WebhookEndpointsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /v1/webhook-endpoints`, oldest first."""

    limit: Limit = LIST_LIMIT_DEFAULT
    starting_after: Annotated[
        Reference | None, Meta(description="The last endpoint id of the page before.")
    ] = None


class DeliveriesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /v1/webhook-endpoints/{endpoint_id}/deliveries`, newest first."""

    event_id: Reference | None = None
    state: DeliveryState | None = None
    limit: Limit = LIST_LIMIT_DEFAULT
    starting_after: Annotated[
        Reference | None, Meta(description="The last event id of the page before.")
    ] = None


def decode_auth_code(expected: type, value: Any) -> Secret:
    """`dec_hook`: the payment code without the blanks that scanners and people add, wrapped so that
    it cannot be shown.

    Whether any channel issues such a code is the flow's question. Raises ValueError, which never
    quotes the code.
    """
    if expected is not Secret:
        raise NotImplementedError(f"no rule to decode {expected.__name__}")
    if not isinstance(value, str):
        raise ValueError("Expected `str`")  # noqa: TRY004 - msgspec passes on ValueError's text
    code = "".join(value.split())
    if not code or len(code) > AUTH_CODE_CHARS_MAX or not (code.isascii() and code.isalnum()):
        raise ValueError(f"Expected 1 to {AUTH_CODE_CHARS_MAX} ASCII letters and digits")
    return Secret(code)

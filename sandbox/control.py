"""The control API (`/_control/…`, loopback only):
accounts, faults, ledger, the customer's acts, callbacks, settings.

Errors are JSON `{"error": "…"}`: 400 not JSON, 403 and 415 not for you (door.py), 404 no such
thing, 409 not now, 422 a field is wrong (it says which).
"""

from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web

from sandbox import faults, limits
from sandbox.book import Trade
from sandbox.callbacks import FORGERIES
from sandbox.channel import Channel, Notice
from sandbox.door import local_programs_only
from sandbox.service import AccountTakenError, OpenAccount, Service

SERVICE = web.AppKey("SERVICE", Service)

AccountName = Annotated[
    str, msgspec.Meta(pattern=rf"\A[A-Za-z0-9_-]{{1,{limits.ACCOUNT_NAME_CHARS_MAX}}}\Z")
]
Profile = Annotated[str, msgspec.Meta(pattern=r"\A(standard|short)\Z")]
Url = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://", max_length=1_024)]
DelayMs = Annotated[int, msgspec.Meta(ge=0, le=limits.FAULT_DELAY_MS_MAX)]


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST accounts."""

    channel: str
    account: AccountName
    mode: str | None = None
    profile: Profile = "standard"
    callback_url: Url | None = None


class NewFault(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST faults."""

    channel: str
    operation: str
    fault: str
    account: AccountName | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    delay_ms: DelayMs = limits.FAULT_DELAY_MS
    seed: int | None = None
    host: Annotated[str, msgspec.Meta(pattern=r"\A(main|second)\Z")] | None = None


class CustomerPays(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST pay. `only_scan`: the customer scans the QR and stops there."""

    out_trade_no: str
    channel: str | None = None
    account: str | None = None
    only_scan: bool = False


class NewCallbacks(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST callbacks.

    `refund_no` chooses among several refunds; `notify_url` overrides the request's own.
    """

    channel: str
    account: str
    out_trade_no: str
    kind: Annotated[str, msgspec.Meta(pattern=r"\A(pay|refund)\Z")] = "pay"
    times: Annotated[int, msgspec.Meta(ge=1, le=limits.CALLBACK_TIMES_MAX)] = 1
    forged: str | None = None
    refund_no: str | None = None
    notify_url: Url | None = None


class ControlError(Exception):
    """A request that is refused, with its status and its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def control_app(service: Service) -> web.Application:
    """The application; the caller binds it to loopback."""
    app = web.Application(
        middlewares=[local_programs_only, _errors_as_json], client_max_size=limits.BODY_BYTES_MAX
    )
    app[SERVICE] = service
    app.add_routes(
        [
            web.get("/_control/health", health),
            web.get("/_control/accounts", list_accounts),
            web.post("/_control/accounts", enrol),
            web.get("/_control/faults", list_faults),
            web.post("/_control/faults", arm),
            web.delete("/_control/faults", disarm),
            web.get("/_control/ledger", ledger),
            web.post("/_control/pay", pay),
            web.post("/_control/callbacks", callbacks),
            web.post("/_control/settings", settings),
        ]
    )
    return app


async def health(request: web.Request) -> web.Response:
    """Alive, and which channels there are."""
    service = request.app[SERVICE]
    state = {
        "status": "ok",
        "channels": sorted(service.channels),
        "ledger_pid": service.ledger.keeper_pid,
    }
    return web.json_response(state | {"trades": len(service.book.rows)})


async def list_accounts(request: web.Request) -> web.Response:
    """Enrolled accounts, without secrets."""
    return web.json_response(
        {"data": [account.public() for account in request.app[SERVICE].accounts.all.values()]}
    )


async def enrol(request: web.Request) -> web.Response:
    """A new merchant account; the only answer that carries its credentials."""
    service = request.app[SERVICE]
    body = await _decode(request, NewAccount)
    channel = _channel(service, body.channel)
    mode = body.mode or channel.modes[0]
    if mode not in channel.modes:
        raise ControlError(422, f"mode: {body.channel} has {' and '.join(channel.modes)}")
    try:
        account, credentials = await service.enrol(
            body.channel, body.account, mode, body.profile, body.callback_url
        )
    except AccountTakenError:
        raise ControlError(
            409,
            f"account {body.account!r} is enrolled at {body.channel} already: "
            f"its credentials were given once",
        ) from None
    answer = (
        {"channel": account.channel, "account": account.account}
        | account.addresses()
        | {"credentials": credentials}
    )
    return web.json_response(answer, status=201)


async def list_faults(request: web.Request) -> web.Response:
    """Armed faults and how often each fired."""
    return web.json_response({"data": request.app[SERVICE].faults.listing()})


async def arm(request: web.Request) -> web.Response:
    """Arms one fault."""
    service = request.app[SERVICE]
    body = await _decode(request, NewFault)
    _check_fault(_channel(service, body.channel), body)
    if body.account is not None and (body.channel, body.account) not in service.open_accounts:
        raise ControlError(404, f"account: {body.account!r} is not enrolled at {body.channel}")
    if service.faults.is_full():
        raise ControlError(
            409, f"{limits.FAULTS_ARMED_MAX} faults are armed: DELETE /_control/faults first"
        )
    terms: dict[str, Any] = {
        "channel": body.channel,
        "account": body.account,
        "operation": body.operation,
        "name": body.fault,
    }
    terms |= {
        "host": body.host,
        "times": body.times,
        "probability": body.probability,
        "delay_ms": body.delay_ms,
        "seed": body.seed,
    }
    return web.json_response((await service.arm(**terms)).public(), status=201)


async def disarm(request: web.Request) -> web.Response:
    """Disarms all; answers what had been armed and how often it fired."""
    return web.json_response({"data": await request.app[SERVICE].disarm()})


async def ledger(request: web.Request) -> web.Response:
    """The truth, paged; answers only what is durable."""
    service = request.app[SERVICE]
    query = request.query
    try:
        start, size = (
            int(query.get("cursor") or 0),
            int(query.get("limit") or limits.LEDGER_PAGE_ROWS),
        )
    except ValueError:
        raise ControlError(
            422, "cursor and limit are numbers: give back next_cursor as it came"
        ) from None
    if start < 0 or not 1 <= size <= limits.LEDGER_PAGE_ROWS_MAX:
        raise ControlError(422, f"limit is 1 to {limits.LEDGER_PAGE_ROWS_MAX}, cursor not negative")
    channel, account = query.get("channel"), query.get("account")
    if account is not None and channel is None:
        raise ControlError(422, "account: name its channel too")
    rows = service.book.rows_of(channel, account)
    page = rows[start : start + size]
    for trade in page:
        # One whose time is over closes now.
        service.open_accounts[trade.channel, trade.account].acts.find(trade.out_trade_no)
    await service.book.durable()
    next_cursor = str(start + size) if start + size < len(rows) else None
    return web.json_response(
        {"data": [trade.public() for trade in page], "next_cursor": next_cursor}
    )


async def pay(request: web.Request) -> web.Response:
    """The customer pays a shown QR, or finishes typing; answers the ledger's row."""
    service = request.app[SERVICE]
    body = await _decode(request, CustomerPays)
    found = [
        trade
        for trade in service.book.by_number(body.out_trade_no)
        if body.channel in {None, trade.channel} and body.account in {None, trade.account}
    ]
    if not found:
        raise ControlError(404, f"no channel account has seen out_trade_no {body.out_trade_no!r}")
    if len(found) > 1:
        places = ", ".join(f"{trade.channel}/{trade.account}" for trade in found)
        raise ControlError(
            409, f"out_trade_no {body.out_trade_no!r} exists at {places}: name channel and account"
        )
    trade = found[0]
    one = service.open_accounts[trade.channel, trade.account]
    if reason := one.desk.customer_pays(trade, only_scan=body.only_scan):
        raise ControlError(409, reason)
    await service.book.durable(trade)
    return web.json_response(trade.public())


async def callbacks(request: web.Request) -> web.Response:
    """Sends callbacks now and answers what came back."""
    service = request.app[SERVICE]
    body = await _decode(request, NewCallbacks)
    if body.forged is not None and body.forged not in FORGERIES:
        raise ControlError(422, f"forged: one of {', '.join(sorted(FORGERIES))}")
    channel = _channel(service, body.channel)
    if body.forged == "signtest" and not _where(channel, "signtest_probe")[0]:
        raise ControlError(422, f"forged: {_where(channel, 'signtest_probe')[1]}")
    one = service.open_accounts.get((body.channel, body.account))
    trade = one.acts.find(body.out_trade_no) if one else None
    if one is None or trade is None:
        raise ControlError(
            404, f"{body.channel}/{body.account} knows no out_trade_no {body.out_trade_no!r}"
        )
    notice = _notice(one, trade, body)
    return web.json_response(
        {"data": await one.callbacks.send_now(notice, body.forged, body.times)}
    )


async def settings(request: web.Request) -> web.Response:
    """Changes the named switches; answers all of the channel's."""
    service = request.app[SERVICE]
    changes = await _decode(request, dict[str, Any])
    channel = str(changes.pop("channel", ""))
    _channel(service, channel)
    try:
        changed = service.change_settings(channel, changes)
    except msgspec.ValidationError as error:
        raise ControlError(
            422, f"{error}; {channel} has {_names(service.settings_of(channel))}"
        ) from None
    return web.json_response({"channel": channel} | changed)


def _notice(one: OpenAccount, trade: Trade, body: NewCallbacks) -> Notice:
    refund = None
    if body.kind == "refund":
        numbers = list(trade.refunds)
        refund = trade.refunds.get(body.refund_no or (numbers[-1] if numbers else ""))
        if refund is None:
            raise ControlError(
                404,
                f"kind: trade {trade.out_trade_no!r} has no such refund (it has: "
                f"{', '.join(numbers) or 'none'})",
            )
    elif trade.paid_at_ms is None and body.forged != "signature":
        raise ControlError(
            409, f"trade {trade.out_trade_no!r} was never paid: only forged=signature can claim so"
        )
    url = body.notify_url or (refund.notify_url if refund else None) or trade.notify_url
    if url is None:
        raise ControlError(
            409,
            f"the request of {trade.out_trade_no!r} carried no notify_url at "
            f"{one.account.channel}: give notify_url",
        )
    return Notice(body.kind, trade, refund, url)


def _check_fault(channel: Channel, body: NewFault) -> None:
    if body.operation in faults.UNBUILT_OPERATIONS or body.fault in faults.BILL_FAULTS:
        if body.operation == "bill" or body.fault in faults.BILL_FAULTS:
            raise ControlError(
                409, "bills not built yet: no bill operation and no bill_… fault can be armed"
            )
        raise ControlError(
            422,
            f"operation: no card channel is built; {channel.name} has {_names(channel.operations)}",
        )
    if body.fault in faults.CARD_FAULTS:
        raise ControlError(
            422,
            f"fault: {body.fault} belongs to card channels, none is built; "
            f"{channel.name} has {_names(_faults_of(channel))}",
        )
    if body.fault not in faults.WHERE:
        raise ControlError(
            422, f"fault: {body.fault!r} is unknown; there are {_names(_faults_of(channel))}"
        )
    if body.host is not None and (
        body.operation == "callback" or body.fault in faults.CALLBACK_FAULTS
    ):
        raise ControlError(
            422, "host: a callback comes from the channel, through none of its hosts: leave it out"
        )
    if body.operation not in channel.operations:
        raise ControlError(422, f"operation: {channel.name} has {_names(channel.operations)}")
    where, why = _where(channel, body.fault)
    if body.operation not in where:
        raise ControlError(
            422,
            f"operation: at {channel.name} {body.fault} can be armed on "
            f"{_names(where) or 'nothing'}{why and '; ' + why}",
        )


def _where(channel: Channel, fault: str) -> tuple[frozenset[str], str]:
    """Operations of the channel that the fault can strike, and why they are fewer here."""
    where, narrowed = faults.WHERE[fault] & channel.operations, channel.narrowed_faults.get(fault)
    return (where & narrowed.operations, narrowed.why) if narrowed else (where, "")


def _faults_of(channel: Channel) -> set[str]:
    return {name for name in faults.WHERE if _where(channel, name)[0]}


def _names(names: Any) -> str:
    return ", ".join(sorted(names))


def _channel(service: Service, name: str) -> Channel:
    if name not in service.channels:
        raise ControlError(
            422, f"channel: {name!r} is unknown; there are {_names(service.channels)}"
        )
    return service.channels[name]


_T = TypeVar("_T")


async def _decode(request: web.Request, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except msgspec.ValidationError as error:
        raise ControlError(422, str(error)) from None
    except msgspec.DecodeError as error:
        raise ControlError(400, f"the body is not JSON: {error}") from None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except ControlError as error:
        return web.json_response({"error": str(error)}, status=error.status)
    except web.HTTPException as error:
        return web.json_response(
            {"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status
        )
    return answer

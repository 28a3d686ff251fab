"""The notify form (notify_type trade_status_sync) and the facts a new trade is born with."""

import json
import secrets
from typing import Any
from urllib.parse import urlencode

from sandbox.alipay import wire
from sandbox.alipay.calls import amounts, lists
from sandbox.alipay.settings import World
from sandbox.channel import Account, Lie, Notice, Sealed

_STALE_MS = 86_400_000


def new_trade(world: World) -> dict[str, Any]:
    """Channel number (28 digits, begins with the day), buyer, birth time."""
    draw = world.chance.randrange
    number = f"{world.china_time():%Y%m%d}22001{draw(10**15):015d}"
    buyer = {
        "buyer_user_id": f"2088{draw(10**12):012d}",
        "buyer_logon_id": f"159****{draw(10**4):04d}",
    }
    extra: dict[str, Any] = buyer
    if world.settings.voucher_fen:
        extra["voucher_fen"] = world.settings.voucher_fen
    return {"channel_trade_no": number, "created_at_ms": world.now_ms(), "extra": extra}


def other_number(number: str) -> str:
    """A number that differs in its last character."""
    return number[:-1] + ("B" if number.endswith("A") else "A")


def fields(
    notice: Notice, account: Account, world: World, lie: Lie, *, stale: bool
) -> dict[str, str]:
    """The form without its signature; `lie` is genuinely signed too.

    No value is empty, unless the setting wants such fields.
    """
    trade, kept = notice.trade, account.kept
    shift = _STALE_MS if stale else 0
    amount = wire.yuan(trade.amount + (1 if lie is Lie.AMOUNT else 0))
    form = {
        "notify_time": wire.time_text(world.china_time(world.now_ms() - shift)),
        "notify_type": "trade_status_sync",
        "notify_id": secrets.token_hex(17),
        "app_id": _other_digits(kept["app_id"]) if lie is Lie.APP else kept["app_id"],
        "charset": "utf-8",
        "version": "1.0",
        "sign_type": "RSA2",
        "trade_no": trade.channel_trade_no,
        "out_trade_no": other_number(trade.out_trade_no)
        if lie is Lie.ORDER
        else trade.out_trade_no,
        "buyer_id": trade.extra.get("buyer_user_id", ""),
        "buyer_logon_id": trade.extra.get("buyer_logon_id", ""),
        "seller_id": _other_digits(kept["seller_id"])
        if lie is Lie.SELLER_OR_MCHID
        else kept["seller_id"],
        "trade_status": "TRADE_SUCCESS",
        "total_amount": amount,
        "subject": trade.extra.get("subject", ""),
        "body": trade.extra.get("body", ""),
        "passback_params": trade.extra.get("passback_params", ""),
        "gmt_create": wire.time_text(world.china_time(trade.created_at_ms)),
        "gmt_payment": wire.time_text(world.china_time(trade.paid_at_ms)),
    }
    form["auth_app_id"] = form["app_id"]
    form |= amounts(trade)
    form |= {
        name: json.dumps(each, ensure_ascii=False, separators=(",", ":"))
        for name, each in lists(trade, camel_case=True).items()
    }
    if world.settings.refund_fee_is_always_told:
        form["refund_fee"] = "0.00"
    form |= _refund_fields(notice, world)
    if world.settings.notify_empty_fields == "none":
        return {name: value for name, value in form.items() if value}
    return form


def signed_fields(whole: dict[str, str], world: World) -> dict[str, str]:
    """What of the form is signed."""
    if world.settings.notify_empty_fields == "unsigned":
        return {name: value for name, value in whole.items() if value}
    return whole


def form(fields: dict[str, str], signature: str) -> Sealed:
    """The POST body; the signature goes last."""
    body = urlencode({**fields, "sign": signature}).encode()
    return Sealed({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, body)


def _refund_fields(notice: Notice, world: World) -> dict[str, str]:
    refund, trade = notice.refund, notice.trade
    if refund is None:
        return {}
    moment = world.china_time(refund.finished_at_ms)
    facts = {
        "out_biz_no": refund.number,
        "refund_fee": wire.yuan(trade.refunded),
        "gmt_refund": f"{wire.time_text(moment)}.{moment.microsecond // 1000:03d}",
    }
    if trade.refunded == trade.amount:
        facts |= {"trade_status": "TRADE_CLOSED", "gmt_close": wire.time_text(moment)}
    return facts


def _other_digits(number: str) -> str:
    return number[:-1] + str((int(number[-1]) + 1) % 10)

"""Callback events: TRANSACTION.SUCCESS and REFUND.*,
their resource encrypted under the merchant's APIv3 key.
"""

import secrets
import uuid
from typing import Any, Final

from sandbox.channel import Account, Lie, Notice
from sandbox.wechat import wire
from sandbox.wechat.calls import transaction
from sandbox.wechat.refunding import STATUSES
from sandbox.wechat.settings import World

_SUMMARIES: Final = {"SUCCESS": "退款成功", "ABNORMAL": "退款异常"}


def event(
    notice: Notice, account: Account, world: World, lie: Lie, *, unheard_of: bool
) -> dict[str, Any]:
    """One event. A resent one keeps its id; a bent one (`unheard_of`) gets an id of its own."""
    if notice.refund is None:
        kind, summary, resource = "transaction", "支付成功", _payment(notice, account, world)
        event_type = "TRANSACTION.SUCCESS"
    else:
        status = STATUSES[notice.refund.state]
        kind, summary, resource = (
            "refund",
            _SUMMARIES.get(status, "退款处理中"),
            _refund(notice, account, world),
        )
        event_type = f"REFUND.{status}"
    _bend(resource, lie)
    refund_no = notice.refund.number if notice.refund else ""
    name = f"{account.account}/{notice.trade.out_trade_no}/{refund_no}"
    return {
        "id": str(
            uuid.UUID(bytes=secrets.token_bytes(16))
            if unheard_of
            else uuid.uuid5(uuid.NAMESPACE_URL, name)
        ),
        "create_time": wire.time_text(world.china_time()),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": summary,
        "resource": {"original_type": kind}
        | wire.encrypt(account.kept["api_v3_key"], wire.json_bytes(resource), kind),
    }


def other_number(number: str) -> str:
    """A number that differs in its last character."""
    return number[:-1] + ("B" if number.endswith("A") else "A")


def _payment(notice: Notice, account: Account, world: World) -> dict[str, Any]:
    """The order as it was when it was paid, whatever happened since."""
    return transaction(notice.trade, account, world) | {
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
    }


def _refund(notice: Notice, account: Account, world: World) -> dict[str, Any]:
    trade, refund = notice.trade, notice.refund
    assert refund is not None
    document = {
        "mchid": account.kept["mchid"],
        "transaction_id": trade.channel_trade_no,
        "out_trade_no": trade.out_trade_no,
    }
    document |= {
        "refund_id": refund.channel_number,
        "out_refund_no": refund.number,
        "refund_status": STATUSES[refund.state],
    }
    document["user_received_account"] = "支付用户零钱"
    if refund.state == "succeeded":
        document["success_time"] = wire.time_text(world.china_time(refund.finished_at_ms))
    amounts = {
        "total": trade.amount,
        "refund": refund.amount,
        "payer_total": trade.amount,
        "payer_refund": refund.amount,
    }
    return document | {"amount": amounts}


def _bend(resource: dict[str, Any], lie: Lie) -> None:
    """Genuinely signed and encrypted, wrong in one fact."""
    match lie:
        case Lie.AMOUNT:
            resource["amount"] = {
                name: value + 1 if isinstance(value, int) else value
                for name, value in resource["amount"].items()
            }
        case Lie.ORDER:
            resource["out_trade_no"] = other_number(resource["out_trade_no"])
        case Lie.APP:
            resource["appid"] = other_number(resource.get("appid", "wx0000000000000000"))
        case Lie.SELLER_OR_MCHID:
            resource["mchid"] = f"{(int(resource['mchid']) + 1) % 10**10:010d}"
        case Lie.NONE:
            pass

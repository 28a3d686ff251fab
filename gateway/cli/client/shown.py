"""An answer of the API as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.cli.client.money import yuan

# field -> how it is called here; amounts are fen in the answer and yuan on the screen.
_FIELDS = {
    "id": "id",
    "order_no": "order",
    "refund_no": "refund number",
    "payment_id": "payment",
    "amount": "amount",
    "amount_captured": "captured",
    "amount_refunded": "refunded",
    "change": "change",
    "method": "method",
    "channel_account": "account",
    "out_trade_no": "out_trade_no",
    "channel_trade_no": "channel's number",
    "paid_at": "paid at (UTC)",
    "refunded_at": "refunded at (UTC)",
    "expires_at": "expires at (UTC)",
}
_AMOUNTS = {"amount", "amount_captured", "amount_refunded", "change"}


def lines(document: Any) -> list[str]:
    """A payment or a refund: the verdict, then what there is. A list: a line for each object."""
    if "data" in document:
        return [f"{each['id']}  {_when(each)}  {summary(each)}" for each in document["data"]]
    if "object" not in document:
        return []
    return [summary(document), *_rows(document)]


def summary(document: Any) -> str:
    """What a cashier would read; of a refusal, why: the verdict of the payment it carries is not
    what was asked for.
    """
    if "detail" in document:
        return _joined(
            document.get("code"),
            document.get("detail_zh"),
            document.get("field"),
            document["detail"],
        )
    if "data" in document:
        return "nothing found" if not document["data"] else f"{len(document['data'])} found"
    verdict = document.get("verdict") or {}
    return _joined(
        document.get("status"), verdict.get("code"), verdict.get("zh"), verdict.get("en")
    )


def _rows(document: Any) -> Iterator[str]:
    for field, title in _FIELDS.items():
        value = document.get(field)
        if value is None or (field in _AMOUNTS and field != "amount" and not value):
            continue
        yield f"  {title:17} {yuan(value) if field in _AMOUNTS else value}"
    failure = document.get("failure") or {}
    if failure:
        told = _joined(failure.get("code"), failure.get("zh"), failure.get("en"))
        yield f"  {'reason':17} {told}"
    shown = (document.get("next_action") or {}).get("qr_code")
    if shown:
        yield f"  {'QR code':17} {shown}"


def _when(document: Any) -> str:
    return str(document.get("created_at", ""))[:19]


def _joined(*words: str | None) -> str:
    return " · ".join(word for word in words if word)

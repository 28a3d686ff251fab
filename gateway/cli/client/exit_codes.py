"""What `pay`, `query`, `refund` and `cancel` exit with, by the verdict: scripts branch on it.

0  paid, refunded, or a list         4  not known yet: wait, do not charge again
1  refused: nothing was done         5  money is on its way back
2  asked or configured wrongly       6  a refund needs a person, or was refused
3  proven not charged
"""

from typing import Any, Final

REFUSED: Final = 1
NOT_KNOWN: Final = 4
BY_VERDICT: Final = {
    "paid": 0,
    "refunded": 0,
    "safe_to_charge_again": 3,
    "wait": NOT_KNOWN,
    "do_not_charge_again": NOT_KNOWN,
    "refund_under_way": 5,
    "refund_needs_action": 6,
    "refund_failed": 6,
}


def exit_code(document: Any, *, ok: bool) -> int:
    """A refusal may carry another payment's verdict: it is never a success.

    A verdict that is not known here counts as not known yet.
    """
    verdict: str | None = (document.get("verdict") or {}).get("code")
    if not ok:
        return NOT_KNOWN if BY_VERDICT.get(verdict or "") == NOT_KNOWN else REFUSED
    return 0 if verdict is None else BY_VERDICT.get(verdict, NOT_KNOWN)

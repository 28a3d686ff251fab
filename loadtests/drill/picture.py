"""Approvals a second by account, as people would rather look at than read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from loadtests.drill.darkness import Clock
from loadtests.drill.tills import Customer

COLUMNS_MAX = 100
ROWS = 4
EIGHTHS = " ▁▂▃▄▅▆▇█"


def picture(
    customers: Sequence[Customer], accounts: dict[str, str], clock: Clock, rate: float, end_s: float
) -> str:
    """One band an account, one column for each second (or several), the darkness of A marked below;
    then who was not served.
    """
    step_s = max(1, -(-int(end_s) // COLUMNS_MAX))
    columns = int(end_s // step_s) + 1
    full = rate * step_s
    lines: list[str] = []
    for letter, account in accounts.items():
        paid = Counter(
            int(customer.paid_s // step_s) for customer in customers if customer.account == account
        )
        lines += _band(letter, [paid[column] / full for column in range(columns)], round(rate))
    unserved = Counter(
        int(customer.arrived_s // step_s) for customer in customers if not customer.was_served
    )
    worst = "".join(
        str(min(unserved[column], 9)) if unserved[column] else "·" for column in range(columns)
    )
    lines += [f"not served {worst}", f"           {_ruler(columns, step_s, clock)}"]
    each = "one second" if step_s == 1 else f"{step_s} seconds"
    return "\n".join(
        [
            *lines,
            (
                f"           a column is {each}; ░ while A was dark; customers not served by when "
                f"they came, 9: or more"
            ),
        ]
    )


def _band(letter: str, heights: list[float], rate: int) -> list[str]:
    """`heights` 0 … 1 and above; the top of the band is a quarter more than the whole load."""
    eighths = [
        min(ROWS * 8, max(round(height / 1.25 * ROWS * 8), 1 if height else 0))
        for height in heights
    ]
    lines = []
    for row in reversed(range(ROWS)):
        label = f"{letter} {rate * 1.25:4.0f}/s  " if row == ROWS - 1 else " " * 10
        lines.append(
            f"{label}▕{''.join(EIGHTHS[min(8, max(0, height - row * 8))] for height in eighths)}"
        )
    return lines


def _ruler(columns: int, step_s: int, clock: Clock) -> str:
    return "".join(
        "░" if clock.dark_s <= (column + 0.5) * step_s < clock.light_s else "─"
        for column in range(columns)
    )

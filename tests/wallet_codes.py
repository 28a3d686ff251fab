"""Payment codes as wallets show them.

A code is spent by its first use, whoever asks and whatever comes of it, and one sandbox serves many
test files: they all draw from one row of numbers.
"""

import itertools

STEMS = {"alipay": "28", "wechat": "13"}

_numbers = itertools.count(1)


def code(channel: str, ending: str = "00") -> str:
    """A code that no test of this process has used; its ending says what the customer does."""
    return f"{STEMS[channel]}{next(_numbers):014d}{ending}"

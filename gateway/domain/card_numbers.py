"""Card numbers and payment codes that somebody typed or scanned into a text: they are stored, shown
and sent on with it, so such a text is refused.

A card number is 13 to 19 digits, alone or in the groups that are printed on a card, that begin as
the schemes' numbers do and pass the Luhn check (ISO/IEC 7812). The beginning spares what tills
number by date and time: 20… and 17… belong to no scheme. Ids in hexadecimal are no texts that
somebody typed: one in some thousands has a card's digits by chance, and ours are among them.
"""

from __future__ import annotations

import re

# Hexadecimal with a letter in it, as long as an id (24: MongoDB's, 32: ours), or a UUID in groups.
_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|"
    r"(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{24,})(?![0-9A-Za-z])"
)
# A run of digits, not a part of a longer one.
_RUN = re.compile(r"(?<![0-9])[0-9]{13,28}(?![0-9])")
_GROUPS = re.compile(
    r"(?<![0-9])(?:[0-9]{4}(?:[ -][0-9]{4}){2}[ -][0-9]{1,7}|"
    r"[0-9]{4}[ -][0-9]{6}[ -][0-9]{5})(?![0-9])"
)
# Visa 4; Mastercard 51-55, 2221-2720; American Express, Diners and JCB 3; UnionPay 62, 81; Maestro
# and Discover 50, 56-69.
_SCHEMES = re.compile(r"3|4|5|6|81|222[1-9]|22[3-9]|2[3-6]|27[01]|2720")
_LENGTHS = range(13, 20)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def digit_runs(text: str) -> list[str]:
    """The runs of 13 to 28 digits in it, but for those of ids; the groups of a card are one run."""
    if not (_RUN.search(text) or _GROUPS.search(text)):
        return []
    text = _ID.sub("#", text)
    groups = [re.sub(r"[ -]", "", found) for found in _GROUPS.findall(text)]
    return [*_RUN.findall(text), *groups]


def is_card_number(digits: str) -> bool:
    """Whether these digits may be a card's."""
    if len(digits) not in _LENGTHS or _SCHEMES.match(digits) is None:
        return False
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[each] for each in values[1::2])) % 10 == 0

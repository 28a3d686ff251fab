"""One line of `tillgate doctor`."""

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is; the value is what is printed."""

    GOOD = "ok"
    WARNING = "warn"
    WRONG = "WRONG"


class Diagnosis(NamedTuple):
    """`name`: of what was looked at; `text` says what to do where something is wrong."""

    level: Level
    name: str
    text: str

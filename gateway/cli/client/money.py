"""Amounts on the command line: fen in, and yuan shown beside them."""

import argparse


def fen_argument(text: str) -> int:
    """A whole number of fen; a decimal point is refused,
    because 128.50 could be meant as yuan or mistyped.
    """
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of fen: write 12850 for 128.50 yuan"
        )
    return int(text)


def yuan(fen: int) -> str:
    """12850 -> "128.50"."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"

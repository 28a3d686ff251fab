"""Money is an integer of minor units everywhere; here it becomes a text for people."""


def yuan(fen: int) -> str:
    """Fen as people read it: `12850` -> `128.50`."""
    sign, value = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{value // 100}.{value % 100:02d}"

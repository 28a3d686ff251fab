"""Text of the documents as HTML: `code` is marked, everything else is escaped."""

from html import escape


def marked(text: str) -> str:
    """Of markdown, `code` and lines that begin with `- ` are all that is used."""
    parts = escape(text).split("`")
    shown = "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )
    return shown.replace("\n\n- ", "<br>· ").replace("\n- ", "<br>· ")


def both(en: str, zh: str) -> str:
    """The same in both languages, one after the other."""
    return f"{marked(en)} <span class=zh lang=zh>{marked(zh)}</span>"

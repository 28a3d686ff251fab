"""Markdown pages taken apart: code, commands, links, headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import files

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
MODULE = re.compile(r"\bpython -m ((?:gateway|adapters|sandbox|loadtests|tests)[\w.]*)")
PROGRAMS = {"tillgate", ".venv/bin/tillgate"}


def pages(*, but: tuple[str, ...] = ()) -> list[Path]:
    """Every Markdown file of the tree."""
    return [
        path
        for path in files()
        if path.suffix == ".md" and not any(path.is_relative_to(folder) for folder in but)
    ]


def blocks(text: str, language: str | None = None) -> list[str]:
    """The contents of fenced blocks (of one language)."""
    return [body for name, body in FENCE.findall(text) if language in (None, name)]


def spans(text: str) -> list[str]:
    """Inline code, outside of fenced blocks; a line end inside is a blank."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]


def code(text: str) -> list[str]:
    """Every line of code: of blocks, and spans."""
    return [*(line for block in blocks(text) for line in block.splitlines()), *spans(text)]


def make_targets(text: str) -> set[str]:
    """The targets that the page's code names."""
    return {name for line in code(text) for name in TARGET.findall(line)}


def modules(text: str) -> set[str]:
    """Modules of ours that the page's code runs with `python -m`."""
    return {name for line in code(text) for name in MODULE.findall(line)}


def typed_commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `tillgate …` line in a block that is to be typed."""
    for block in blocks(text):
        for line in block.splitlines():
            words = (
                shlex.split(line, comments=True) if line.strip().startswith(tuple(PROGRAMS)) else []
            )
            if len(words) > 1 and words[0] in PROGRAMS:
                yield words[1:]


def mentioned_commands(text: str) -> Iterator[list[str]]:
    """The words after `tillgate` in inline code, as far as they are plain words."""
    for span in spans(text):
        words = span.split()
        if len(words) > 1 and words[0] in PROGRAMS:
            plain = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
            if plain and plain[0] == words[1]:
                yield plain


def links(text: str) -> list[str]:
    """Relative targets of links."""
    return [
        target
        for target in LINK.findall(SPAN.sub("", FENCE.sub("", text)))
        if "://" not in target and not target.startswith("mailto:")
    ]


def headings(text: str) -> list[tuple[int, str]]:
    """Level and title."""
    return [(len(marks), title) for marks, title in HEADING.findall(FENCE.sub("", text))]


def anchors(text: str) -> set[str]:
    """What `#…` may point at, as the usual viewers make it of a heading."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(text)}

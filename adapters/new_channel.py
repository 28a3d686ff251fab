"""`python -m adapters.new_channel NAME`: two folders that work at once, `adapters/NAME/` and
`sandbox/NAME/`, to be filled.

They are copies of `adapters/_template` and `sandbox/_template`, a small channel with a protocol of
its own. Nothing else in the tree has to know of the new one: both sides are found by their folders.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "_template"
SIDES = ("adapters", "sandbox")
NAME = re.compile(r"[a-z][a-z0-9]{1,31}")

NEXT_STEPS = """\
{files} files in adapters/{name}/ and sandbox/{name}/. They work already: \
{name} is found by the gateway and by the sandbox.

Next:
  1. adapters/{name}/manifest.py: the payment codes that are this channel's \
(now 91..., which no second channel may share),
     its flows, its schedule, its names in Chinese and English.
  2. sandbox/{name}/: the channel's real protocol, \
written from its documents and not from the adapter.
  3. adapters/{name}/: wire.py, signing.py, then the tables of translate.py. \
A word in no table stays unknown.
  4. make format
  5. make test ARGS="adapters/{name} tests/conformance -k {name}"
"""


class ChannelNameError(ValueError):
    """The name cannot be used; the text says why, and what to do."""


def main(arguments: Sequence[str]) -> int:
    """The command line. Returns the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m adapters.new_channel NAME\n")
        return 2
    try:
        written = create(arguments[0])
    except ChannelNameError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    sys.stdout.write(NEXT_STEPS.format(name=arguments[0], files=len(written)))
    return 0


def create(name: str, root: Path = ROOT) -> list[Path]:
    """Write both folders under `root`, or nothing.

    Raises `ChannelNameError` for a bad name or one that is taken.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ChannelNameError(
            f"{name!r} is no channel name: "
            f"use 2 to 32 small letters and digits, a letter first, no word of Python's"
        )
    for side in SIDES:
        for taken in (root / side / name, root / side / f"{name}.py"):
            if taken.exists():
                raise ChannelNameError(
                    f"{taken.relative_to(root)} exists already: choose another name"
                )
    return [path for side in SIDES for path in _copy(root / side, name)]


def _copy(side: Path, name: str) -> list[Path]:
    """Copy one template, its name replaced in texts and file names;
    a half-written folder is removed again.
    """
    target = side / name
    written: list[Path] = []
    try:
        for source in sorted((side / TEMPLATE).rglob("*")):
            if source.is_dir() or "__pycache__" in source.parts:
                continue
            path = target / _renamed(str(source.relative_to(side / TEMPLATE)), name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
            written.append(path)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return written


def _renamed(text: str, name: str) -> str:
    """`_template` as a word of its own first, then the word inside other names (`test_template`,
    `TemplateChannel`).
    """
    text = re.sub(r"(?<![A-Za-z0-9])_template", name, text)
    return text.replace("Template", name.capitalize()).replace("template", name)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

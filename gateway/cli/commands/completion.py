"""`tillgate completion`: the script that completes commands and their options.

It is made of the same parsers that read the words, so it cannot lag behind them.
"""

import argparse
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Final

from gateway.cli.catalogue import COMMANDS

SHELLS: Final = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", choices=SHELLS, help='eval "$(tillgate completion bash)"')


def run(options: argparse.Namespace) -> int:
    """Print it."""
    print(script(options.shell))
    return 0


def script(shell: str) -> str:
    """For `eval`."""
    return _SCRIPTS[shell](dict(_words()))


def _words() -> Iterator[tuple[str, list[str]]]:
    """What may follow "", "pay", "case", "case list" and so on."""
    yield "", [command.name for command in COMMANDS]
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        if command.module != "completion":
            import_module(f"gateway.cli.commands.{command.module}").add_arguments(parser)
        else:
            add_arguments(parser)
        yield command.name, list(_following(parser))
        for act, below in _acts(parser):
            yield f"{command.name} {act}", list(_following(below))


def _acts(parser: argparse.ArgumentParser) -> Iterable[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001  argparse has no other way to look
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  as above
            yield from action.choices.items()


def _following(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001  as above
        if action.help == argparse.SUPPRESS:
            continue
        yield from (option for option in action.option_strings if option.startswith("--"))
        if not action.option_strings and action.choices is not None:
            yield from map(str, action.choices)


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f"    {key!r}) words={' '.join(found)!r} ;;" for key, found in words.items() if key
    )
    return f"""_tillgate() {{
  local words=
  case "${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" in
{cases}
  esac
  [ -n "$words" ] || case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words={" ".join(words[""])!r}
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _tillgate tillgate"""


def _zsh(words: dict[str, list[str]]) -> str:
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: dict[str, list[str]]) -> str:
    lines = [
        f"complete -c tillgate -f -n __fish_use_subcommand -a {' '.join(words[''])!r}",
        *(
            f"complete -c tillgate -f -n '__fish_seen_subcommand_from {key}' -a {' '.join(each)!r}"
            for key, each in words.items()
            if key and " " not in key
        ),
    ]
    return "\n".join(lines)


_SCRIPTS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}

"""What `tillgate merchant`, `tillgate store` and `tillgate terminal` have in common."""

import argparse

from gateway.cli.registries import Registries
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.domain.holder import Holder, HolderKind

ACTS = {
    "create": "a new {}",
    "rename": "give it another name; its id stays",
    "disable": "refuse its keys, everywhere within seconds; what is under way goes on",
    "enable": "take its keys again",
    "list": "what there is",
}
STORE_ACTS = {
    "overrides": "whether a supervisor may let another payment in while one is in doubt",
    "cutoff": "when its business days begin, in Shanghai; from the next day on",
}
OF_ONE = frozenset({"rename", "disable", "enable", *STORE_ACTS})


def add_acts(
    parser: argparse.ArgumentParser, kind: HolderKind
) -> dict[str, argparse.ArgumentParser]:
    """The acts of a command, with the words that all three kinds need."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    known = ACTS | (STORE_ACTS if kind is HolderKind.STORE else {})
    below = {act: acts.add_parser(act, help=text.format(kind)) for act, text in known.items()}
    for act, each in below.items():
        if kind is not HolderKind.MERCHANT:
            each.add_argument("merchant", metavar="MERCHANT_ID")
        if act in OF_ONE:
            each.add_argument(kind.value, metavar=f"{kind.name}_ID")
        add_data_argument(each)
    below["create"].add_argument("--id", help="its id (default: a new one)")
    below["rename"].add_argument("name")
    add_json_argument(below["list"])
    return below


async def change(opened: Registries, options: argparse.Namespace, kind: HolderKind) -> None:
    """Rename, disable or enable, and say so."""
    holder = Holder(kind, options.merchant, getattr(options, kind.value))
    match options.act:
        case "rename":
            await opened.people.rename(holder, options.name)
            print(f"{holder.id} is now called {options.name.strip()}")
        case "disable" if await opened.people.disable(holder):
            print(f"{holder.id} is disabled: its keys are refused within seconds")
        case "disable":
            print(f"{holder.id} was disabled already")
        case _ if await opened.people.enable(holder):
            print(f"{holder.id} is enabled")
        case _:
            print(f"{holder.id} was not disabled")

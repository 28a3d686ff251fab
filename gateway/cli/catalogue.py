"""The commands there are.

Each names the module that has `add_arguments(parser)` and `run(options) -> int` (the exit code).
"""

from typing import Final, NamedTuple


class Command(NamedTuple):
    """A word after `tillgate`, its line in the overview, its module in this package."""

    name: str
    summary: str
    module: str


COMMANDS: Final = (
    Command(
        "dev", "everything on this machine: servers, sandbox, demo shop, a tour of payments", "dev"
    ),
    Command("serve", "the HTTP service: one listening socket, several worker processes", "serve"),
    Command(
        "work", "the background work: queries, cancels and refunds of undecided payments", "work"
    ),
    Command("migrate", "bring the database schema up to date", "migrate"),
    Command("sandbox", "the channel sandbox alone", "sandbox"),
    Command("pay", "sign and send one payment", "pay"),
    Command("refund", "sign and send one refund", "refund"),
    Command("query", "ask for a payment, by id or by order number", "query"),
    Command("cancel", "do not let a payment succeed", "cancel"),
    Command("events", "what happened, in commit order; --follow: as it happens", "events"),
    Command("listen", "events to a program on this machine, signed as webhooks are", "listen"),
    Command("trigger", "make an event of a kind happen in the demo shop", "trigger"),
    Command("merchant", "create, rename, disable, enable and list merchants", "merchant"),
    Command("store", "create, rename, disable, enable and list the stores of a merchant", "store"),
    Command(
        "terminal", "create, rename, disable, enable and list the tills of a merchant", "terminal"
    ),
    Command(
        "supervisor",
        "who may let another payment in: create, reset, disable, list",
        "supervisor",
    ),
    Command("key", "issue, rotate, revoke and list API keys", "key"),
    Command(
        "account", "create, place, rotate, drain and list channel accounts; their health", "account"
    ),
    Command(
        "routing",
        "which accounts are tried first: show, set, try on past payments, history",
        "routing",
    ),
    Command(
        "webhook",
        "where merchants are told of events: "
        "create, list, rotate, disable, enable, resend, deliveries",
        "webhook",
    ),
    Command(
        "audit",
        "who did what, and whether the books are as they were written: list, head, verify",
        "audit",
    ),
    Command("case", "list, show and close what people have to look at", "case"),
    Command(
        "restored",
        "after a database restore: begin or end asking the channels first; show",
        "restored",
    ),
    Command(
        "doctor",
        "check settings, stores, clock, keys and channels; say what is wrong and what to do",
        "doctor",
    ),
    Command("stop", "stop embedded servers that a killed `tillgate dev` left behind", "stop"),
    Command("completion", "the script that completes words in bash, zsh or fish", "completion"),
    Command("master-key", "create or rotate the file with the master keys", "master_key"),
    Command("rekey", "seal every stored secret under the current master key", "rekey"),
)

"""docs/errors.md, written from the error tree: `python -m tests.tidy.errors_page` prints it."""

import sys

from gateway.http.problems import documented


def errors_page() -> str:
    """docs/errors.md: one row an error, in the order of the tree."""
    lines = [
        "# Errors",
        "",
        (
            "<!-- Written by `python -m tests.tidy.errors_page`; "
            "a test compares it with the error tree. -->"
        ),
        "",
        "Every refusal is `application/problem+json` (RFC 9457) with a stable `code`. *Again* says",
        "whether the very same request with the very same `Idempotency-Key` may simply be sent",
        "again. The verdict is what the cashier may do. *payment, else*: what became of the",
        "payment that the problem carries, never `paid`; the word stands where none is carried.",
        "",
        "| status | code | what it means | 含义 | again | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for leaf in sorted(documented(), key=lambda each: each.http_status):
        again = "yes" if leaf.sendable_again else "no"
        lines.append(
            f"| {leaf.http_status} | `{leaf.code}` | {leaf.title} | {leaf.zh} | {again} | "
            f"{'payment, else ' if leaf.tells_of_payment else ''}`{leaf.verdict}` |"
        )
    lines += [
        "",
        "`store_unavailable` means that nothing was sent, except when its verdict is",
        "`do_not_charge_again`: then the payment may have been accepted, and the same request with",
        "the same key shows its state. So it is always safe to send that request again.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(errors_page())

"""`tillgate account health`: what the workers think of one channel account, from their diary and
from the board in Redis.
"""

import argparse

from gateway.cli.registries import Registries
from gateway.cli.surroundings import environment
from gateway.cli.table import show_table
from gateway.clock import SystemClock
from gateway.settings import read_settings
from gateway.storage.redis.health_board import RedisBoard


async def show_health(opened: Registries, options: argparse.Namespace) -> None:
    """Breakers that are not closed, worker by worker; then what moved, newest first."""
    account = await opened.accounts.account(options.account)
    print(
        f"{account.id} ({account.channel}): {account.problem or account.drained_state}"
        + ("" if account.enabled else ", disabled")
    )
    states = [
        (each.operation, each.to, each.worker, each.at, each.reason)
        for each in await opened.health.states(account.id)
        if each.to != "closed"
    ]
    print()
    show_table(
        ("operation", "breaker", "worker", "since (UTC)", "reason"),
        states,
        nothing="every breaker is closed, in every worker that lives",
    )
    print()
    await _show_board(account.id, options)
    rows = [
        (each.at, each.operation, each.what, each.was, each.to, each.worker, each.reason)
        for each in await opened.health.newest(account.id)
    ]
    show_table(
        ("at (UTC)", "operation", "what", "was", "is", "by", "reason"),
        rows,
        nothing="nothing has moved yet",
    )


async def _show_board(account_id: str, options: argparse.Namespace) -> None:
    """What workers tell one another at this moment; silent without Redis."""
    redis_url = read_settings(environment(options.data)).redis_url
    if redis_url is None:
        return
    board = RedisBoard(redis_url.reveal(), SystemClock(), "")
    try:
        words = await board.words()
    finally:
        await board.close()
    if words is None:
        print("Redis does not answer: every worker goes by what it sees itself\n")
        return
    rows = [
        (word.operation, word.state, f"{word.age_s:.1f} s ago", word.reason)
        for word in words
        if word.account == account_id
    ]
    if rows:
        show_table(("operation", "last told", "when", "reason"), rows, nothing="")
        print()

"""Lunch rush, for locust: tills that scan wallet codes, take cash, tap twice,
and look at what they did. Each line of its statistics is a kind of payment and the verdict on it.

Terms come from the environment: TILLGATE_LOAD_TERMS is the path of dev.json. `python -m
loadtests.rush` runs it and audits the money.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import random
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, between, task

from loadtests.till import PATH, authorization, payment

_numbers = itertools.count(1)


class Till(FastHttpUser):
    """One cashier."""

    wait_time = between(0.05, 0.3)
    terms: ClassVar[dict[str, Any]] = json.loads(
        pathlib.Path(os.environ["TILLGATE_LOAD_TERMS"]).read_text()
    )
    host = terms["base_url"]

    @task(5)
    def alipay(self) -> None:
        """The customer shows a code."""
        self._pay("alipay")

    @task(5)
    def wechat(self) -> None:
        """As above."""
        self._pay("wechat")

    @task(3)
    def cash(self) -> None:
        """Over the counter."""
        self._pay("cash")

    @task(1)
    def double_tap(self) -> None:
        """The cashier taps twice at once: one payment, one of the answers is a replay."""
        body = payment("cash", next(_numbers))
        taps = [gevent.spawn(self._send, body, "double tap") for _ in range(2)]
        gevent.joinall(taps, raise_error=True)
        assert len({tap.value["id"] for tap in taps}) == 1

    @task(1)
    def lost_answer(self) -> None:
        """The channel's answer is lost: the till hears "do not charge again yet"."""
        self._pay("alipay", random.choice(("05", "06", "07")))  # noqa: S311 - a mix, not a secret

    def _pay(self, method: str, ending: str = "00") -> None:
        self._send(
            payment(method, next(_numbers) + os.getpid() % 997 * 10**9, ending),
            f"pay {method} {ending}",
        )

    def _send(self, body: dict[str, Any], name: str) -> Any:
        raw = json.dumps(body).encode()
        headers = {
            "Authorization": authorization(self.terms["terminal_key"], body["order_no"], raw),
            "Idempotency-Key": body["order_no"],
            "Content-Type": "application/json",
            "Prefer": "wait=1",
        }
        with self.client.post(
            PATH, data=raw.decode(), headers=headers, name=name, catch_response=True
        ) as response:
            document = response.json() if response.status_code else {}
            # Money in doubt is an answer like any other: the line of its verdict tells it apart.
            verdict = document.get("verdict", {}).get("code", "no answer")
            response.request_meta["name"] = f"{name}: {verdict}"
            return document

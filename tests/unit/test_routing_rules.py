"""Which rule holds, in which order it puts the accounts, and what is said of rules that cannot be
meant: one line a case.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapters.channel import Flow
from adapters.discovery import discover
from gateway.domain.routing_rules import Rule, RuleSet, minute_of_week
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.accounts import Candidate
from gateway.flow.choose.routing import ranked
from gateway.flow.choose.rule_check import Known, check
from gateway.flow.choose.rule_trial import DryRun, Made
from gateway.limits import ROUTING_RULES_MAX
from tests.fakes.accounts import remote_account

MANIFESTS = {
    name: manifest for name, manifest in discover().items() if name in ("alipay", "wechat", "cash")
}
MONDAY_NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai

WHEN = """
-                                                   | alipay code  500 mon 12:00 | yes
method=alipay                                       | alipay code  500 mon 12:00 | yes
method=alipay                                       | wechat code  500 mon 12:00 | no
flow=qr                                             | alipay code  500 mon 12:00 | no
amount_from=500 amount_to=900                       | alipay code  500 mon 12:00 | yes
amount_from=500 amount_to=900                       | alipay code  900 mon 12:00 | yes
amount_from=500 amount_to=900                       | alipay code  901 mon 12:00 | no
amount_from=500                                     | alipay code  499 mon 12:00 | no
time_from=11:00 time_to=14:00                       | alipay code  500 mon 11:00 | yes
time_from=11:00 time_to=14:00                       | alipay code  500 mon 13:59 | yes
time_from=11:00 time_to=14:00                       | alipay code  500 mon 14:00 | no
time_from=22:00 time_to=02:00                       | alipay code  500 mon 23:30 | yes
time_from=22:00 time_to=02:00                       | alipay code  500 mon 01:59 | yes
time_from=22:00 time_to=02:00                       | alipay code  500 mon 02:00 | no
time_from=22:00                                     | alipay code  500 mon 23:59 | yes
time_from=22:00                                     | alipay code  500 tue 00:00 | no
time_to=06:00                                       | alipay code  500 tue 00:00 | yes
weekdays=sat,sun                                    | alipay code  500 mon 12:00 | no
weekdays=sat,sun                                    | alipay code  500 sun 00:00 | yes
time_from=22:00 time_to=02:00 weekdays=fri          | alipay code  500 sat 01:00 | yes
time_from=22:00 time_to=02:00 weekdays=fri          | alipay code  500 fri 01:00 | no
time_from=22:00 time_to=02:00 weekdays=sun          | alipay code  500 mon 01:00 | yes
method=alipay flow=code weekdays=mon amount_to=1000 | alipay code  500 mon 12:00 | yes
"""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def rule(use: str = "a", name: str = "r", *, only: bool = False, **when: Any) -> Rule:
    """`use`: accounts with their weights, as in "a:70 b:30 c"."""
    given = [
        {"account": each.partition(":")[0]}
        | ({"weight": int(each.partition(":")[2])} if ":" in each else {})
        for each in use.split()
    ]
    return msgspec.convert({"name": name, "when": when, "use": given, "only": only}, Rule)


def meant(when: str) -> dict[str, Any]:
    """`key=value` for each condition: days are a list, amounts are numbers; `-` is no condition."""
    given = dict(each.split("=") for each in when.split() if each != "-")
    return {
        key: value.split(",") if key == "weekdays" else int(value) if value.isdecimal() else value
        for key, value in given.items()
    }


@pytest.mark.parametrize("line", WHEN.strip().splitlines())
def test_when(line: str) -> None:
    when, asked, holds = (part.strip() for part in line.split("|"))
    method, flow, amount, day, time = asked.split()
    hour, minute = map(int, time.split(":"))
    at = datetime(2026, 11, 23 + DAYS.index(day), hour, minute, tzinfo=UTC) - timedelta(hours=8)
    assert rule(**meant(when)).holds(method, flow, int(amount), at) is (holds == "yes")


def test_the_week_is_shanghais() -> None:
    assert minute_of_week(MONDAY_NOON) == 12 * 60
    assert minute_of_week(datetime(2026, 11, 22, 16, 0, tzinfo=UTC)) == 0


def account(
    name: str, channel: str = "alipay", store: str | None = None, **fields: Any
) -> Candidate:
    return remote_account(name, channel, store_id=store, **fields)


ACCOUNTS = [
    account("a"),
    account("b"),
    account("w", "wechat"),
    account("c"),
    account("off", enabled=False),
    account("s2", store="s2"),
]


def tender(order_no: str = "T1", **fields: Any) -> Tender:
    given: dict[str, Any] = {
        "merchant_id": "m1",
        "store_id": "s1",
        "tender_no": 1,
        "amount": 500,
        "currency": "CNY",
        "channel": "alipay",
        "flow": Flow.CODE,
        "numbering": Numbering.BY_STORE,
    }
    return Tender(**given | fields, order_no=order_no)


def order(*rules: Rule, accounts: Any = ACCOUNTS, **fields: Any) -> str:
    choices = ranked(tender(**fields), accounts, RuleSet(version=4, rules=rules), MONDAY_NOON)
    return " ".join(choice.account.id for choice in choices)


@pytest.mark.parametrize(
    ("rules", "fields", "expected"),
    [
        ([], {}, "a b c"),
        ([rule("c")], {}, "c a b"),
        ([rule("c b")], {}, "c b a"),
        ([rule("c", only=True, method="alipay")], {}, "c"),
        ([rule("off", only=True, method="alipay")], {}, ""),
        ([rule("off c")], {}, "c a b"),
        ([rule("s2 b")], {}, "b a c"),
        ([rule("s2 b")], {"store_id": "s2"}, "s2 b a c"),
        ([rule("w b")], {}, "b a c"),
        ([rule("w b")], {"channel": "wechat"}, "w"),
        ([rule("b", flow="qr"), rule("c")], {}, "c a b"),
        ([rule("b", flow="qr"), rule("c")], {"flow": Flow.QR}, "b a c"),
        ([rule("b", amount_from=501)], {}, "a b c"),
    ],
)
def test_order(rules: list[Rule], fields: dict[str, Any], expected: str) -> None:
    assert order(*rules, **fields) == expected


def test_shares_follow_the_weights_and_a_repeat_draws_the_same() -> None:
    sharing = rule("a:70 b:30 c")
    firsts = Counter(order(sharing, order_no=f"T{n}")[0] for n in range(4000))
    assert 0.67 < firsts["a"] / 4000 < 0.73
    assert firsts.keys() == {"a", "b"}
    assert {order(sharing, order_no="T7") for _ in range(10)} == {order(sharing, order_no="T7")}
    assert {order(sharing, order_no=f"T{n}") for n in range(50)} == {"a b c", "b a c"}


def test_an_account_that_drops_out_moves_only_its_own_share() -> None:
    before = {n: order(rule("a:50 b:30 c:20"), order_no=f"T{n}")[0] for n in range(500)}
    after = {
        n: order(rule("a:50 b:30 c:20"), order_no=f"T{n}", accounts=[account("a"), account("c")])[0]
        for n in range(500)
    }
    assert {before[n] for n in before if before[n] != after[n]} == {"b"}


def test_drained_accounts_leave_and_the_why_says_so() -> None:
    choices = ranked(
        tender(),
        [account("a", drained="settlement is late"), account("b")],
        RuleSet(version=4, rules=(rule("a b", name="lunch"),)),
        MONDAY_NOON,
    )
    assert [choice.why for choice in choices] == [
        "number 1 by rule lunch of version 4 of: b; a is drained: settlement is late"
    ]
    (choice,) = ranked(tender(), [account("b")], None, MONDAY_NOON)
    assert choice.why == "number 1 by priority of: b"


KNOWN = {
    "a": Known("m1", "alipay", None),
    "b": Known("m1", "alipay", None),
    "w": Known("m1", "wechat", None),
    "s2": Known("m1", "alipay", "s2"),
    "theirs": Known("m2", "alipay", None),
}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([rule("a:70 b:30")], ""),
        ([rule("nowhere")], "rules[0].use[0].account: nowhere: the merchant has no such account"),
        ([rule("a theirs")], "rules[0].use[1].account: theirs: the merchant has no such account"),
        (
            [rule("w", method="alipay")],
            "rules[0].use[0].account: w: an account of wechat cannot take alipay",
        ),
        ([rule("s2")], "rules[0].use[0].account: s2: it serves the store s2 only"),
        ([rule("a a")], "rules[0].use[1].account: a is named twice"),
        ([rule("a:0")], "rules[0].use[0].weight: 0 is not within 1"),
        ([rule("a:-1")], "rules[0].use[0].weight: -1 is not within 1"),
        ([rule("")], "rules[0].use: 1 to 20 accounts"),
        ([rule(name=" ")], "rules[0].name: 1 to 40 printable"),
        ([rule(), rule("b")], "rules[1].name: 'r' is taken"),
        (
            [rule(method="paypal")],
            "rules[0].when.method: 'paypal' is not installed; there are alipay, cash, wechat",
        ),
        ([rule(flow="card")], "rules[0].when.flow: 'card' is none of code, qr"),
        ([rule(flow="qr", method="cash")], "rules[0].when.flow: cash has no flow qr"),
        (
            [rule(amount_from=900, amount_to=500)],
            "rules[0].when.amount_to: nothing is from 900 to 500",
        ),
        ([rule(amount_to=0)], "rules[0].when.amount_to: 0 is not within"),
        ([rule(time_from="25:00")], "rules[0].when.time_from: '25:00' is not a time of day"),
        ([rule(time_from="9:00")], "rules[0].when.time_from: '9:00' is not a time like"),
        (
            [rule(time_from="09:00", time_to="09:00")],
            "rules[0].when.time_to: from 09:00 to 09:00 is no time",
        ),
        ([rule(time_from="24:00")], "rules[0].when.time_from: write 00:00"),
        ([rule(weekdays=["monday"])], "rules[0].when.weekdays: 'monday' is none of mon"),
        ([rule(weekdays=[])], "rules[0].when.weekdays: empty"),
        ([rule(only=True)], "rules[0].only: say `method`"),
        ([rule(name=f"r{n}") for n in range(ROUTING_RULES_MAX + 1)], "rules: 101 of them"),
        (
            [rule(flow="code"), rule(name="n", flow="code", amount_to=9)],
            "rules[1]: 'n' is never reached: 'r' takes all",
        ),
        (
            [rule(time_from="10:00"), rule(name="n", time_from="12:00", time_to="13:00")],
            "rules[1]: 'n' is never reached",
        ),
        ([rule(weekdays=["mon"]), rule(name="n")], ""),
        ([rule(amount_to=9), rule(name="n", amount_to=10)], ""),
        ([rule(method="alipay"), rule("w", name="n", method="wechat")], ""),
    ],
)
def test_findings(rules: list[Rule], says: str) -> None:
    store = "s1" if any(use.account == "s2" for each in rules for use in each.use) else None
    found = check(rules, "m1", store, KNOWN, MANIFESTS)
    assert bool(found.errors or found.warnings) is bool(says), found
    assert (found.errors + found.warnings or ("",))[0].startswith(says)


def test_a_trial_counts_what_would_have_been() -> None:
    made = [
        Made(
            id=f"p{n}",
            tender=tender(f"T{n}", amount=n),
            created_at=MONDAY_NOON,
            channel_account="a",
        )
        for n in range(1, 11)
    ]
    trial = DryRun(RuleSet(version=0, rules=(rule("b", name="large", amount_from=8),)), ACCOUNTS, 2)
    trial.take(made)
    assert (dict(trial.was), dict(trial.would), trial.differing) == ({"a": 10}, {"a": 7, "b": 3}, 3)
    assert [(each.payment.id, each.would) for each in trial.differences] == [
        ("p8", "b"),
        ("p9", "b"),
    ]
    assert trial.differences[0].why == "number 1 by rule large of version 0 of: b a c"

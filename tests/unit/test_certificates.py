"""Certificates in credentials: refused when they cannot serve, counted down while they can."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from adapters.channel import Certificate
from gateway.cli.commands.finding import Level
from gateway.cli.commands.safety_checks import look_at_certificates
from gateway.storage.registries.accounts import AccountListing
from gateway.storage.registries.credentials import (
    CredentialsInvalid,
    refuse_unfit_certificates,
    usable_until,
)
from gateway.workers.certificates import CertificateWatch

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(
    begins: int, ends: int, name: str = "theirs", fault: str | None = None
) -> Certificate:
    return Certificate(
        name=name, not_before=NOW + begins * DAY, not_after=NOW + ends * DAY, fault=fault
    )


@pytest.mark.parametrize(
    ("certificates", "refusal"),
    [
        ([], None),
        ([certificate(-9, 9)], None),
        ([certificate(-9, -1)], "theirs expired on 2026-11-20"),
        ([certificate(-9, 0)], "theirs expired on"),
        ([certificate(1, 9)], "theirs is not valid before 2026-11-22"),
        ([certificate(-9, 9, fault="leads to no root")], "theirs leads to no root"),
        # while a platform rotates its own, several stand in one field
        ([certificate(-9, -1), certificate(-1, 9)], None),
        ([certificate(-9, 9), certificate(3, 90)], None),
        ([certificate(-9, -1), certificate(1, 9)], "theirs is not valid before"),
        ([certificate(-9, 9), certificate(-9, -1, "mine")], "mine expired"),
    ],
)
def test_what_could_verify_nothing_is_refused(
    certificates: list[Certificate], refusal: str | None
) -> None:
    if refusal is None:
        refuse_unfit_certificates(certificates, NOW)
    else:
        with pytest.raises(CredentialsInvalid, match=refusal):
            refuse_unfit_certificates(certificates, NOW)


def test_a_field_is_good_as_long_as_its_last_certificate() -> None:
    found = usable_until([certificate(-9, 3), certificate(-1, 90), certificate(-9, 7, "mine")])
    assert found == {"theirs": NOW + 90 * DAY, "mine": NOW + 7 * DAY}


def listing(days: float) -> AccountListing:
    return AccountListing(
        merchant_id="mer_1",
        id="acct_1",
        channel="paper",
        store_id=None,
        priority=100,
        enabled=True,
        drained_reason=None,
        created_at=NOW,
        key_version=1,
        credentials={},
        problem="",
        usable_until={"theirs": NOW + days * DAY},
    )


@pytest.mark.parametrize(
    ("days", "found"),
    [
        (31, []),
        (30, []),
        (29.9, [(Level.WARNING, "expires in 29 days (2026-12-20)")]),
        (0.5, [(Level.WARNING, "expires in 0 days")]),
        (0, [(Level.WRONG, "has expired")]),
        (-3, [(Level.WRONG, "has expired (2026-11-18)")]),
    ],
)
def test_the_doctor_warns_a_month_before(days: float, found: list[tuple[Level, str]]) -> None:
    said = look_at_certificates(listing(days), NOW)
    assert [each.level for each in said] == [level for level, _ in found]
    assert all(words in each.text for each, (_, words) in zip(said, found, strict=True))


@dataclass
class Listed:
    channel: str
    enabled: bool
    usable_until: dict[str, datetime]


@dataclass
class Accounts:
    listed: list[Listed] = field(default_factory=list)

    async def accounts(self) -> list[Listed]:
        return self.listed


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def test_the_gauge_says_the_days_of_the_first_to_expire() -> None:
    accounts = Accounts(
        [
            Listed("paper_a", True, {"x": NOW + 40 * DAY, "y": NOW + 12 * DAY}),
            Listed("paper_a", True, {"x": NOW + 90 * DAY}),
            Listed("paper_a", False, {"x": NOW + 1 * DAY}),
            Listed("paper_b", True, {}),
        ]
    )
    asyncio.run(CertificateWatch(accounts, StillClock()).look())

    def value(channel: str) -> float | None:
        return REGISTRY.get_sample_value("tillgate_certificate_days_left", {"channel": channel})

    assert (value("paper_a"), value("paper_b")) == (12.0, None)

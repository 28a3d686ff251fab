"""A test that is skipped proves nothing: with `-p tests.skips` a run fails that skips a test which
is not listed here.

`make test`, and so `.ci/run`, runs with it.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Final

import pytest


@dataclass(frozen=True, slots=True)
class MaySkip:
    """Functions of one file, and what may stand in the brackets of their ids (none: anything)."""

    file: str
    functions: tuple[str, ...]
    reason: str
    parameters: str = r".*"

    def covers(self, nodeid: str) -> bool:
        file, _, name = nodeid.partition("::")
        function, _, parameters = name.partition("[")
        return (
            file == self.file
            and function in self.functions
            and re.fullmatch(self.parameters, parameters.removesuffix("]")) is not None
        )


MAY_SKIP: Final = (
    MaySkip(
        "tests/adversity/test_failover_drill.py",
        ("test_no_darkness_and_no_redis_costs_money",),
        "`make proof` plays them: each takes about a minute",
    ),
    MaySkip(
        "tests/adversity/test_hostile_requests.py",
        ("test_the_promised_times",),
        "`make proof` waits for them: it takes 35 s",
    ),
    MaySkip(
        "tests/adversity/test_rotations.py",
        ("test_every_secret_is_replaced_under_load",),
        "`make proof` plays it: it takes half a minute",
    ),
    MaySkip(
        "tests/conformance/test_callback.py",
        ("test_a_forged_callback_is_refused",),
        "only WeChat Pay probes its merchants with a false signature",
        r"(?!wechat).+-signtest",
    ),
    MaySkip(
        "tests/conformance/test_pay.py",
        ("test_a_shown_qr_is_paid_when_the_customer_scans_it",),
        "a channel may have no QR code",
        r"(?!alipay|wechat).+",
    ),
    MaySkip(
        "tests/sandbox/test_callbacks.py",
        ("test_bent_callbacks",),
        "only WeChat Pay probes its merchants with a false signature",
        r"alipay-signtest_probe-.+",
    ),
    MaySkip(
        "tests/integration/test_wechat_sandbox.py",
        ("test_the_sdk_reads_a_callback_as_we_do",),
        "without a public key the SDK fetches certificates from the real host",
        r"platform_certificate",
    ),
    MaySkip(
        "tests/integration/test_embedded.py",
        (
            "test_three_starters_at_once_one_starts_two_attach",
            "test_as_root_it_runs_as_nobody_from_a_wheel_in_a_private_folder",
            "test_a_folder_of_another_user_is_refused_in_words",
            "test_no_other_user_of_the_machine_comes_into_the_database",
            "test_a_working_folder_the_servers_user_cannot_enter_gives_a_temporary_one",
        ),
        "only root can become an ordinary user; the other tests run as one already",
    ),
    MaySkip(
        "tests/integration/test_dev.py",
        (
            "test_the_tour_is_whole_and_leaves_nothing_behind",
            "test_a_second_run_goes_on_with_the_same_shop_and_serves_until_ctrl_c",
            "test_a_part_that_died_is_started_again_and_told",
            "test_a_part_that_dies_again_and_again_ends_the_rest",
            "test_after_a_kill_only_the_servers_stay_and_stop_ends_them",
        ),
        "on Linux it never is: it looks for processes in /proc",
    ),
    MaySkip(
        "tests/integration/test_supervisor.py",
        ("test_workers_end_when_their_parent_is_killed",),
        "on Linux it never is: only Linux tells children that their parent died",
    ),
    MaySkip(
        "tests/tidy/test_docs.py",
        ("test_signing_examples_give_the_vector",),
        "the machine may have no node and no openssl",
        r"(sh|js)-.+",
    ),
)

# Of a test that asks for Redis, on a machine for which no wheel has a program.
NO_REDIS: Final = "this machine has no Redis and no Valkey"
WHEELS: Final = ("x86_64", "aarch64", "arm64")

_unlisted: list[str] = []


def is_listed(nodeid: str) -> bool:
    return any(each.covers(nodeid) for each in MAY_SKIP)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """An expected failure counts as skipped, as it does for pytest."""
    is_poor = NO_REDIS in str(report.longrepr) and platform.machine() not in WHEELS
    if report.skipped and not is_listed(report.nodeid) and not is_poor:
        _unlisted.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A whole file, by a skip at its top."""
    if report.skipped:
        _unlisted.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for nodeid in sorted(set(_unlisted)):
        terminalreporter.write_line(
            f"SKIPPED {nodeid}: not listed in tests/skips.py, so the run fails", red=True
        )

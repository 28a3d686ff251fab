"""The documentation says what the code says:
settings, calls, metrics, errors, states, commands, links, examples.
"""

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module

import msgspec
import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from gateway.__main__ import _parser
from gateway.cli.catalogue import COMMANDS
from gateway.cli.client.exit_codes import BY_VERDICT
from gateway.domain.case import CaseKind
from gateway.domain.errors import leaves
from gateway.domain.resources import PaymentResource, RefundResource
from gateway.domain.states import ATTEMPT_STATES, PAYMENT_STATES, REFUND_STATES
from gateway.domain.verdicts import VERDICTS
from gateway.http.docs_guide import SAMPLES, sample
from gateway.http.openapi import document
from gateway.http.routes import OPEN_ROUTES, ROUTES
from gateway.settings import VARIABLES
from gateway.telemetry import metrics
from security.roles import PERMISSIONS, Role
from security.secret import Secret
from security.till_signature import sign
from tests.tidy import markdown
from tests.tidy.errors_page import errors_page
from tests.tidy.fields_page import fields_page, table
from tests.tidy.tree import ROOT

PAGES = markdown.pages()
READMES = ("README.md", "README.zh-CN.md")
VECTOR = "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI="
ROLES_OF = {"all": set(Role), "all but terminal": set(Role) - {Role.TERMINAL}}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def metric_names() -> set[str]:
    found = (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase))
    return {
        next(iter(each.describe())).name + ("_total" if isinstance(each, Counter) else "")
        for each in found
    }


def parsed(words: list[str]) -> bool:
    """Whether the command line would take these words (`REFUND_ID` and the like are words too)."""
    try:
        _parser(words).parse_args(words)
    except SystemExit:
        return False
    return True


def known(words: list[str]) -> bool:
    """Whether the command exists, and its act, where it has acts; a word after a command without
    acts is prose.
    """
    command = next((each for each in COMMANDS if each.name == words[0]), None)
    if command is None:
        return False
    parser = argparse.ArgumentParser()
    import_module(f"gateway.cli.commands.{command.module}").add_arguments(parser)
    acts = next(
        (
            action.choices
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
        ),
        None,
    )
    return acts is None or len(words) == 1 or words[1] in acts


def broken_links(name: str, text: str) -> list[str]:
    broken = []
    for link in markdown.links(text):
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        if not path.exists() or (
            anchor and anchor not in markdown.anchors(path.read_text(encoding="utf-8"))
        ):
            broken.append(f"{name}: {link}")
    return broken


def test_every_setting_is_described_and_no_other() -> None:
    described = re.findall(r"^\| `(TILLGATE_\w+)` \|", page("docs/settings.md"), re.MULTILINE)
    assert sorted(described) == sorted(VARIABLES)


def test_pages_name_settings_that_exist() -> None:
    named = {
        name for path in PAGES for name in re.findall(r"\bTILLGATE_[A-Z_]+\b", page(str(path)))
    }
    assert named <= VARIABLES


def test_every_route_is_described_with_its_roles_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /\S+)` \| ([^|]+) \|", page("docs/api.md"), re.MULTILINE)
    described = {
        call: ROLES_OF.get(roles) or {*roles.split(", ")}
        for call, roles in rows
        if call.split()[1].startswith("/v1/")
    }
    signed = {
        f"{r.method} {r.path}": {role for role in Role if r.permission in PERMISSIONS[role]}
        for r in ROUTES
    }
    assert described == signed
    assert {call for call, _ in rows} - signed.keys() == {
        f"{r.method} {r.path}" for r in OPEN_ROUTES
    }


def test_every_metric_is_described_and_no_other() -> None:
    described = re.findall(
        r"^\| `(tillgate_\w+)` \| (?:counter|gauge|histogram)",
        page("docs/metrics.md"),
        re.MULTILINE,
    )
    assert sorted(described) == sorted(metric_names())


def test_pages_name_metrics_that_exist() -> None:
    named = {name for path in PAGES for name in re.findall(r"`(tillgate_[a-z_]+)", page(str(path)))}
    assert named <= metric_names()


def test_errors_are_the_error_trees() -> None:
    assert page("docs/errors.md") == errors_page()
    assert {leaf.code for leaf in leaves()} <= set(markdown.spans(page("docs/errors.md")))


def test_fields_are_those_of_the_document() -> None:
    assert page("docs/fields.md") == fields_page(), (
        "run: .venv/bin/python -m tests.tidy.fields_page > docs/fields.md"
    )
    body = document(ROUTES, OPEN_ROUTES)["components"]["schemas"]["PayBody"]
    shown = page("docs/api.md").partition("<!-- pay fields -->\n")[2]
    assert shown.partition("\n<!-- /pay fields -->")[0] == table(body, is_request=True)


def test_exit_codes_are_those_of_the_command_line() -> None:
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", page("docs/command-line.md"), re.MULTILINE)
    described = {word: int(code) for code, words in rows for word in re.findall(r"`(\w+)`", words)}
    assert described == BY_VERDICT


def test_every_command_is_in_its_page() -> None:
    mentioned = set(markdown.spans(page("docs/command-line.md")))
    assert [each.name for each in COMMANDS if f"tillgate {each.name}" not in mentioned] == [
        "completion"  # shown as it is typed
    ]


@pytest.mark.parametrize("name", [name for pair in SAMPLES.values() for name in pair if name])
def test_pages_show_the_samples_as_they_run(name: str) -> None:
    where = "docs/first-payment.md" if name.startswith("pay") else "docs/webhooks.md"
    assert f"\n{sample(name)}```\n" in page(where)


def test_every_state_has_its_meaning_and_no_other() -> None:
    wanted = {"Payment": PAYMENT_STATES, "Attempt": ATTEMPT_STATES, "Refund": REFUND_STATES}
    text = page("docs/states.md")
    sections = {
        title: re.split(rf"^## {title}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
        for title in wanted
    }
    described = {
        title: re.findall(r"^\| `(\w+)` \| [^|`]", section, re.MULTILINE)
        for title, section in sections.items()
    }
    assert {title: set(names) for title, names in described.items()} == {
        title: set(names) for title, names in wanted.items()
    }


def test_every_kind_of_case_is_in_its_runbook_and_no_other() -> None:
    described = re.findall(
        r"^\| `([a-z_]+)(?:<field>)?`", page("docs/runbooks/frozen-payments.md"), re.MULTILINE
    )
    assert [kind.rstrip("_") for kind in described] == list(CaseKind)


def test_every_verdict_is_described() -> None:
    assert set(VERDICTS) <= set(markdown.spans(page("docs/api.md")))


@pytest.mark.parametrize("shape", [PaymentResource, RefundResource], ids=lambda each: each.__name__)
def test_the_objects_are_shown_whole(shape: type[PaymentResource] | type[RefundResource]) -> None:
    """Every field of an answer, no other, and values that it may have."""
    shown = [json.loads(block) for block in markdown.blocks(page("docs/api.md"), "json")]
    [example] = [each for each in shown if each.get("object") == shape.__name__[:-8].lower()]
    decoded = msgspec.convert(example, shape)
    assert json.loads(msgspec.json.encode(decoded)) == example
    assert list(example) == list(shape.__struct_fields__)


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_commands_exist(path: object) -> None:
    text = page(str(path))
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    assert markdown.make_targets(text) <= targets
    assert [name for name in markdown.modules(text) if importlib.util.find_spec(name) is None] == []
    assert [words for words in markdown.typed_commands(text) if not parsed(words)] == []
    assert [words for words in markdown.mentioned_commands(text) if not known(words)] == []


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_links_lead_somewhere(path: object) -> None:
    assert broken_links(str(path), page(str(path))) == []


def test_files_that_pages_name_exist() -> None:
    named = {
        (path, span)
        for path in PAGES
        if path.parts[0] in {"docs", "CONTRIBUTING.md"}
        for span in markdown.spans(page(str(path)))
    }
    files = [
        (path, span)
        for path, span in named
        if re.fullmatch(r"\.?[\w-]+(/[\w.-]+)*/[\w-]+\.(py|sql|yaml|lock|toml)", span)
    ]
    assert len(files) > 20
    assert [
        f"{path}: {span}"
        for path, span in files
        if not any((ROOT / base / span).is_file() for base in ("", "gateway"))
    ] == []


def test_both_readmes_have_the_same_parts() -> None:
    english, chinese = (page(name) for name in READMES)
    assert [level for level, _ in markdown.headings(english)] == [
        level for level, _ in markdown.headings(chinese)
    ]
    assert english.count("\n|") == chinese.count("\n|")
    assert english.count("\n- **") == chinese.count("\n- **")
    assert list(markdown.typed_commands(english)) != []
    assert [w[:2] for w in markdown.typed_commands(english)] == [
        w[:2] for w in markdown.typed_commands(chinese)
    ]
    for text in (english, chinese):
        assert [line.split()[:2] for line in text.splitlines()[1:3]] == [
            ["make", "run"],
            ["make", "test"],
        ]


def test_the_site_lists_every_page() -> None:
    listed = re.findall(r": ([\w/.-]+\.md)$", page("mkdocs.yml"), re.MULTILINE)
    assert sorted(listed) == sorted(
        str(path.relative_to("docs")) for path in PAGES if path.is_relative_to("docs")
    )


def test_the_image_holds_every_package() -> None:
    packages = re.search(r"^packages = \[(.*)\]$", page("pyproject.toml"), re.MULTILINE)
    assert packages is not None
    for name in re.findall(r'"(\w+)"', packages[1]):
        assert f"COPY {name} {name}\n" in page("Dockerfile")
        assert f"!{name}\n" in page(".dockerignore")


def test_the_vector_is_ours() -> None:
    body = (
        b'{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'
    )
    secret = Secret("sk_test_0123456789abcdef")
    assert (
        sign(
            secret,
            method="POST",
            path_qs="/v1/payments",
            ts=1795219200,
            idempotency_key="idem-0001",
            body=body,
        )
        == VECTOR
    )
    assert f"| sig | `{VECTOR}` |" in page("docs/signing.md")


@pytest.mark.parametrize(
    ("language", "programs"),
    [("python", [sys.executable]), ("sh", ["sh", "openssl"]), ("js", ["node"])],
)
def test_signing_examples_give_the_vector(language: str, programs: list[str]) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed here")
    (example,) = markdown.blocks(page("docs/signing.md"), language)
    done = subprocess.run(
        [programs[0], "-"] if language != "sh" else ["sh"],
        input=example,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == VECTOR
    assert len(example.strip().splitlines()) <= 15


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            markdown.make_targets("`make run` and make up\n```\nmake nothing  # x\n```\n"),
            {"run", "nothing"},
        ),
        (markdown.modules("`python -m gateway.nowhere`"), {"gateway.nowhere"}),
        (
            list(markdown.typed_commands('```\ntillgate pay "a b" --x # y\nserve tillgate\n```\n')),
            [["pay", "a b", "--x"]],
        ),
        (
            list(markdown.mentioned_commands("`tillgate case\nlist` `tillgate pay …` `tillgate`")),
            [["case", "list"], ["pay"]],
        ),
        (markdown.links("[a](b.md#c) [d](https://e) `[f](g)` [h](i)"), ["b.md#c", "i"]),
        (markdown.anchors("# The group writer\n## `a`, b\n"), {"the-group-writer", "a-b"}),
        (
            broken_links("README.md", "[a](nowhere.md) [b](LICENSE) [c](#nothing)"),
            ["README.md: nowhere.md", "README.md: #nothing"],
        ),
        (
            [
                parsed(words)
                for words in (["pay", "1", "--code", "2"], ["pay", "--nothing"], ["fly"])
            ],
            [True, False, False],
        ),
        (
            [
                known(words)
                for words in (["case", "list"], ["case", "burn"], ["fly"], ["doctor", "says"])
            ],
            [True, False, False, True],
        ),
    ],
)
def test_each_rule_can_fail(found: object, expected: object) -> None:
    assert found == expected

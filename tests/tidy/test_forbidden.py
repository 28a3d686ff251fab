"""What must not be written, found in syntax trees;
every rule is first shown a sample it has to catch.
"""

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gateway.domain.case import CaseKind, Finding
from gateway.domain.outcomes import FailureCode, Proof, Retry
from gateway.domain.presenting import Flow
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import EvidenceWord, LastCancel, Origin, Source
from tests.tidy.tree import (
    dotted,
    files,
    imported,
    is_test,
    nodes,
    python_files,
    source_of,
    text_of,
)

Rule = Callable[[str], list[str]]

WORLD_MODULES = {
    *(
        "time",
        "random",
        "uuid",
        "secrets",
        "threading",
        "concurrent",
        "multiprocessing",
        "subprocess",
    ),
    *("socket", "select", "ssl", "queue", "socketserver"),
}
# They read the public answers and the sandbox's ledger as plain JSON, as an integrator does.
OUTSIDE_CLIENTS = ("gateway/cli/dev/tour",)
WALL_CLOCKS = {"now", "utcnow", "today"}
WALL_TIME = {"time.time", "time.time_ns"}
TLS_CHECKS = {"verify", "ssl", "verify_ssl", "check_hostname"}
ENCODINGS = {"reveal", "encode", "hexdigest", "digest"}
THREAD_CALLS = {"to_thread", "run_in_executor"}
ENTRY_POINTS = (
    "gateway/__main__.py",
    "gateway/composition.py",
    "gateway/service.py",
    "gateway/cli",
    "sandbox/__main__.py",
    "sandbox/cli.py",
    "loadtests",
)
WORDS = {
    word.value
    for words in (
        *(PaymentStatus, AttemptStatus, RefundStatus, CaseKind, Finding),
        *(EvidenceWord, Flow, LastCancel, Origin, FailureCode, Proof, Retry),
    )
    for word in words
}
SOURCES = {word.value for word in Source}  # ordinary words too: only beside the name `source`
WORD_FIELDS = {"status", "source", "origin", "flow", "proof", "kind", "last_cancel", "late_refund"}
COMPARISONS_OF_PUBLIC_TEXT = {
    # rsa_signing: is the text canonical? Both sides are the sender's own
    "base64.b64encode(signature).decode('ascii') != signature_b64",
    # vault: in which of its forms a value is sealed
    "sealed_as(sealed, about=about) == as_",
}
SECRET_NAME = re.compile(r"(^|_)(secret|signature|sig|hmac)($|_)")
CAST_TO_ITS_OWN_NAME = re.compile(r"\b(\w+)\)?::\w+ AS \1\b")
ORDER_BY = re.compile(r"ORDER BY\s+([^()]*?)(?:\bLIMIT\b|\bFOR\b|\)|$)", re.DOTALL)
MACHINE_PATH = re.compile(r"(?<![\w.*-])/(?:[w]ork|[r]oot|[h]ome/\w+|[U]sers/\w+)/")
PACKAGE_ADDRESS = re.compile(
    r"[p]ypi\.org|[p]ythonhosted\.org|[r]egistry\.npmjs|[-]-(?:extra-)?index-url[ =]\w+:"
    r"|https?://[^\s\"')]+/[s]imple/?(?![\w/-])",
    re.IGNORECASE,
)


def world_in_pure_code(source: str) -> list[str]:
    """flow and domain: time, chance, threads and sockets come through ports."""
    return list(_world(source))


def world_in_domain(source: str) -> list[str]:
    """The domain does not wait either."""
    return [*_world(source), *_imports_of(source, {"asyncio"})]


def clock_or_chance_in_adapter(source: str) -> list[str]:
    """adapters: wall time and chance are injected;
    durations and everything else are the transport's business.
    """
    problems = [*_imports_of(source, {"random", "uuid"}), *_wall_clock_calls(source)]
    attributes = (node for node in nodes(source) if isinstance(node, ast.Attribute))
    return [
        *problems,
        *(
            f"line {node.lineno}: {dotted(node)}"
            for node in attributes
            if dotted(node) in WALL_TIME
        ),
    ]


def uvloop_import(source: str) -> list[str]:
    """Only entry points choose the loop, so that a simulation can choose another."""
    return list(_imports_of(source, {"uvloop"}))


def plain_comparison_of_secret(source: str) -> list[str]:
    """`==` on a secret or a signature leaks where it differs; hmac.compare_digest does not."""
    problems = []
    for node in nodes(source):
        if isinstance(node, ast.Compare) and any(
            isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops
        ):
            sides = [node.left, *node.comparators]
            trivial = any(
                isinstance(side, ast.Constant) and side.value in {None, "", b""} for side in sides
            )
            if (
                not trivial
                and ast.unparse(node) not in COMPARISONS_OF_PUBLIC_TEXT
                and any(SECRET_NAME.search(_last_name(side)) for side in sides)
            ):
                problems.append(f"line {node.lineno}: {ast.unparse(node)}")
    return problems


def plain_comparison_beside_a_mac(source: str) -> list[str]:
    """Where a MAC is made, what is compared with a computed value is compared in constant time,
    whatever the names are.
    """
    if not any(name == "hmac" for node in nodes(source) for name in imported(node)):
        return []
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in nodes(source)
        if isinstance(node, ast.Compare)
        and any(
            isinstance(operator, ast.Eq | ast.NotEq)
            or (isinstance(operator, ast.In) and isinstance(side, ast.Call))
            for operator, side in zip(node.ops, node.comparators, strict=True)
        )
        and not any(_is_fixed(side) for side in (node.left, *node.comparators))
        and ast.unparse(node) not in COMPARISONS_OF_PUBLIC_TEXT
    ]


def tls_switched_off(source: str) -> list[str]:
    """No certificate check is ever switched off, for nobody."""
    problems = []
    for node in nodes(source):
        switched_off = (
            (
                isinstance(node, ast.keyword)
                and node.arg in {"verify", "ssl", "verify_ssl", "check_hostname"}
                and _is_false(node.value)
            )
            or (
                isinstance(node, ast.Assign)
                and _is_false(node.value)
                and any(_last_name(target) == "check_hostname" for target in node.targets)
            )
            or (
                isinstance(node, ast.Attribute | ast.Name)
                and _last_name(node) in {"CERT_NONE", "_create_unverified_context"}
            )
        )
        if switched_off:
            problems.append(ast.unparse(node))
    return problems


def bare_word(source: str) -> list[str]:
    """A word of the books that is written out where its enum should stand: renamed or misspelt, it
    would compare with nothing and no type checker would speak.
    """
    problems = []
    for node in nodes(source):
        words = WORDS
        written: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            written = [node.left, *node.comparators]
            if any(isinstance(side, ast.Attribute) and side.attr == "source" for side in written):
                words = WORDS | SOURCES
        elif isinstance(node, ast.MatchValue):
            written = [node.value]
        elif isinstance(node, ast.keyword) and node.arg in WORD_FIELDS:
            written, words = [node.value], WORDS | SOURCES
        for side in written:
            parts = side.elts if isinstance(side, ast.Tuple | ast.Set | ast.List) else [side]
            problems += [
                f"line {part.lineno}: {part.value!r}"
                for part in parts
                if isinstance(part, ast.Constant) and part.value in words
            ]
    return problems


def order_by_a_cast(source: str) -> list[str]:
    """`x::text AS x … ORDER BY x` sorts the output column, as text: "1000" before "999".

    Only a bare name in ORDER BY means the output column; `t.x` means the table's.
    """
    texts = (node.value for node in nodes(source) if isinstance(node, ast.Constant))
    found = []
    for text in texts:
        if not isinstance(text, str):
            continue
        cast = set(CAST_TO_ITS_OWN_NAME.findall(text))
        sorted_by = {
            word
            for listed in ORDER_BY.findall(text)
            for word in re.findall(r"(?<![\w.])[a-z_]\w*(?![\w.(])", listed)
        }
        found += [f"ORDER BY {name}" for name in sorted(cast & sorted_by)]
    return found


def machine_words(text: str) -> list[str]:
    """A path of somebody's machine, or the address of a package index."""
    return [
        match.group()
        for pattern in (MACHINE_PATH, PACKAGE_ADDRESS)
        for match in pattern.finditer(text)
    ]


def _world(source: str) -> Iterable[str]:
    yield from _imports_of(source, WORLD_MODULES)
    yield from _wall_clock_calls(source)
    for node in nodes(source):
        if isinstance(node, ast.Attribute) and node.attr in THREAD_CALLS:
            yield f"line {node.lineno}: {node.attr}"


def _imports_of(source: str, modules: set[str]) -> Iterable[str]:
    for node in nodes(source):
        for name in imported(node):
            if name.split(".", 1)[0] in modules:
                yield f"imports {name}"


def _wall_clock_calls(source: str) -> Iterable[str]:
    for node in nodes(source):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in WALL_CLOCKS
            and dotted(node.value).split(".")[-1] in {"datetime", "date"}
        ):
            yield f"line {node.lineno}: {dotted(node)}"


def _last_name(node: ast.AST) -> str:
    """The name a person reads last: `sig`, `request.signature`, `headers["sig"]`,
    `secret.reveal()`.
    """
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"reveal", "encode", "hexdigest", "digest"}
    ):
        return _last_name(node.func.value)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return dotted(node).split(".")[-1]


def _is_fixed(node: ast.AST) -> bool:
    """Written in the source: a literal, or the name of a constant."""
    if isinstance(node, ast.Set | ast.Tuple | ast.List):
        return all(_is_fixed(each) for each in node.elts)
    return isinstance(node, ast.Constant) or (
        isinstance(node, ast.Name | ast.Attribute) and dotted(node).split(".")[-1].isupper()
    )


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _found(rule: Rule, paths: Iterable[Path]) -> str:
    return "\n".join(f"{path}: {problem}" for path in paths for problem in rule(source_of(path)))


def _shipped(*folders: str, but: tuple[str, ...] = ()) -> list[Path]:
    return [
        path
        for path in python_files(*folders)
        if not is_test(path) and not any(path.is_relative_to(other) for other in but)
    ]


@pytest.mark.parametrize(
    ("rule", "paths"),
    [
        (world_in_pure_code, _shipped("gateway/flow")),
        (world_in_domain, _shipped("gateway/domain")),
        (clock_or_chance_in_adapter, _shipped("adapters", but=("adapters/transport.py",))),
        (uvloop_import, _shipped(but=ENTRY_POINTS)),
        (
            plain_comparison_of_secret,
            _shipped("gateway", "adapters", "security", "sandbox", "reconciliation"),
        ),
        (plain_comparison_beside_a_mac, _shipped("security", "adapters")),
        (tls_switched_off, _shipped("gateway", "adapters", "security", "reconciliation")),
        (bare_word, _shipped("gateway", but=OUTSIDE_CLIENTS)),
        (order_by_a_cast, _shipped("gateway", "reconciliation", "loadtests")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_forbidden_is_in_the_tree(rule: Rule, paths: list[Path]) -> None:
    assert _found(rule, paths) == ""


def test_no_machine_path_and_no_package_address_is_in_the_tree() -> None:
    found = [
        f"{path}: {words}"
        for path in files()
        if (text := text_of(path)) and (words := machine_words(text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "source", "problems"),
    [
        (world_in_pure_code, "import time", 1),
        (world_in_pure_code, "from random import choice", 1),
        (world_in_pure_code, "from concurrent.futures import ThreadPoolExecutor", 1),
        (world_in_pure_code, "import uuid, socket, threading", 3),
        (world_in_pure_code, "from datetime import datetime\nx = datetime.now()", 1),
        (world_in_pure_code, "import datetime\nx = datetime.datetime.utcnow()", 1),
        (world_in_pure_code, "import asyncio\nasync def f(): await asyncio.to_thread(print)", 1),
        (world_in_pure_code, "def f(loop): loop.run_in_executor(None, print)", 1),
        (world_in_pure_code, "import asyncio\nx = clock.now()", 0),
        (world_in_domain, "import asyncio", 1),
        (world_in_domain, "from datetime import datetime", 0),
        (clock_or_chance_in_adapter, "import time\nx = time.time()", 1),
        (clock_or_chance_in_adapter, "from uuid import uuid4", 1),
        (clock_or_chance_in_adapter, "from datetime import date\nx = date.today()", 1),
        (clock_or_chance_in_adapter, "x = self._clock.now()", 0),
        (uvloop_import, "import uvloop", 1),
        (uvloop_import, "def f():\n from uvloop import run", 1),
        (plain_comparison_of_secret, "if expected == request.signature: pass", 1),
        (plain_comparison_of_secret, "if headers['sig'] != mine: pass", 1),
        (plain_comparison_of_secret, "ok = till_secret.reveal() == other", 1),
        (plain_comparison_of_secret, "ok = signature == ''", 0),
        (plain_comparison_of_secret, "ok = len(signature) == 44 and design == 1", 0),
        (plain_comparison_of_secret, "ok = hmac.compare_digest(signature, mine)", 0),
        (plain_comparison_beside_a_mac, "import hmac\nok = expected == each", 1),
        (plain_comparison_beside_a_mac, "import hmac\nok = expected in text.split(' ')", 1),
        (plain_comparison_beside_a_mac, "import hmac\nok = mac(body) != request.mac", 1),
        (plain_comparison_beside_a_mac, "import hmac\nok = len(text) == 44 and x in A.WORDS", 0),
        (plain_comparison_beside_a_mac, "ok = expected == each", 0),
        (tls_switched_off, "session.get(url, ssl=False)", 1),
        (tls_switched_off, "requests.get(url, verify=False)", 1),
        (tls_switched_off, "context.check_hostname = False", 1),
        (tls_switched_off, "context.verify_mode = ssl.CERT_NONE", 1),
        (tls_switched_off, "session.get(url, ssl=context, allow_redirects=False)", 0),
        (bare_word, "if payment.status == 'succeeded': pass", 1),
        (bare_word, "x = attempt.status in ('sent', 'pending', SENT)", 2),
        (bare_word, "if said[-1].source == 'pay' or operation == 'pay': pass", 1),
        (bare_word, "x = 'UseRefund' != attempt.last_cancel", 1),
        (bare_word, "match a.status:\n case 'sent': pass", 1),
        (bare_word, "replace(attempt, status='cancelling')", 1),
        (bare_word, "x = a.status == AttemptStatus.SENT or name == 'Main street'", 0),
        (order_by_a_cast, "X = 'SELECT xid::text AS xid, seq FROM e ORDER BY xid, seq LIMIT 1'", 1),
        (order_by_a_cast, "X = 'SELECT e.xid::text AS xid FROM e ORDER BY e.xid DESC'", 0),
        (order_by_a_cast, "X = 'SELECT xid::text AS transaction FROM e ORDER BY xid'", 0),
        (machine_words, "see /" + "home/ann/x and /" + "root/.cache and C", 2),
        (machine_words, "url = 'https://" + "pypi" + ".org/'", 1),
        (machine_words, "--index-" + "url https://x.example/" + "simple/", 1),
        (machine_words, "the working folder, tmp/works/x, https://pay.example.com/simple-words", 0),
    ],
)
def test_each_rule_can_fail(rule: Rule, source: str, problems: int) -> None:
    assert len(rule(source)) == problems

"""A run fails when it skips a test that is not listed, and the list names only tests there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import MAY_SKIP, MaySkip, is_listed
from tests.tidy.tree import source_of

ROOT = Path(__file__).resolve().parents[2]
PASSES = "def test_passes(): ...\n"
SKIPS = """
def test_inside(): pytest.skip("not today")

@pytest.mark.skipif(True, reason="not here")
def test_marked(): ...

@pytest.mark.xfail
def test_expected(): assert False
"""
WHOLE = "pytest.importorskip('absent_package')\n"


def ran(folder: Path, *options: str, **files: str) -> tuple[int, set[str]]:
    """The exit code, and the unlisted that were told."""
    for name, body in files.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n\n{body}")
    # Names are told from the folder: the clone and the folder may lie in one another's way.
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "--rootdir", str(folder)]
    command += [*options, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = re.findall(r"^SKIPPED .*?test_(\S+): not listed", done.stdout, re.MULTILINE)
    return done.returncode, set(told)


def test_a_run_that_skips_nothing_passes(tmp_path: Path) -> None:
    assert ran(tmp_path, it=PASSES) == (0, set())


@pytest.mark.parametrize("jobs", ["0", "1"])
def test_a_skip_of_any_kind_fails_the_run(tmp_path: Path, jobs: str) -> None:
    functions = {f"it.py::test_{name}" for name in ("inside", "marked", "expected")}
    assert ran(tmp_path, "-n", jobs, it=PASSES + SKIPS, whole=WHOLE) == (
        1,
        functions | {"whole.py"},
    )


@pytest.mark.parametrize("listed", MAY_SKIP, ids=lambda listed: listed.file)
def test_the_list_names_tests_there_are(listed: MaySkip) -> None:
    source = source_of(Path(listed.file))
    assert [name for name in listed.functions if f"def {name}(" not in source] == []
    assert "skip" in source
    assert listed.reason


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("test_callback.py::test_a_forged_callback_is_refused[alipay-key-signtest]", True),
        ("test_callback.py::test_a_forged_callback_is_refused[alipay-key-app]", False),
        ("test_callback.py::test_a_forged_callback_is_refused[wechat-key-signtest]", False),
        ("test_callback.py::test_a_genuine_callback[alipay-key-signtest]", False),
        ("test_pay.py::test_a_forged_callback_is_refused[alipay-key-signtest]", False),
    ],
)
def test_what_is_listed(name: str, listed: bool) -> None:
    assert is_listed(f"tests/conformance/{name}") is listed

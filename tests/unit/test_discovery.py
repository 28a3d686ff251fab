"""Channels are found by their folders, and payment codes by their shape."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from adapters.channel import detect
from adapters.discovery import DiscoveryError, discover, read_manifests

Package: TypeAlias = Callable[..., tuple[str, list[str]]]

MANIFEST = """
import re
from adapters.channel import LocalManifest
MANIFEST = LocalManifest(
    channel={channel!r}, flows=frozenset(), auth_codes=(re.compile({code!r}),),
    amount_max=1, build=lambda: None, title_zh="", title_en="",
)
"""


@pytest.fixture(name="package")
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """`package(folder=manifest text or None)` writes a package of channel folders
    and says its name and path.
    """
    name = f"channels_{tmp_path.name}"
    root = tmp_path / name
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**folders: str | None) -> tuple[str, list[str]]:
        for folder, manifest in folders.items():
            (root / folder).mkdir(parents=True)
            (root / folder / "__init__.py").touch()
            if manifest is not None:
                (root / folder / "manifest.py").write_text(manifest)
        (root / "__init__.py").touch()
        return name, [str(root)]

    yield write
    for module in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[module]


def test_the_channels_of_this_tree_are_found() -> None:
    found = discover()
    assert "alipay" in found
    assert all(manifest.channel == name for name, manifest in found.items())
    assert discover() is found
    with pytest.raises(TypeError):
        found["cash"] = found["alipay"]  # type: ignore[index]


def test_a_folder_is_all_a_channel_needs(package: Package) -> None:
    one, two = (MANIFEST.format(channel=name, code="") for name in ("one", "two"))
    assert list(
        read_manifests(*package(two=two, one=one, _template="raise RuntimeError", shared=None))
    ) == ["one", "two"]


@pytest.mark.parametrize(
    ("manifests", "complaint"),
    [
        (
            {
                "a": MANIFEST.format(channel="x", code=""),
                "b": MANIFEST.format(channel="x", code=""),
            },
            "second channel 'x'",
        ),
        ({"a": "MANIFEST = {}"}, "no MANIFEST"),
        ({"a": ""}, "no MANIFEST"),
        ({"a": MANIFEST.format(channel="Ali Pay", code="")}, "'Ali Pay'"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(
    package: Package, manifests: dict[str, str], complaint: str
) -> None:
    with pytest.raises(DiscoveryError, match=complaint):
        read_manifests(*package(**manifests))


@pytest.mark.parametrize(
    ("auth_code", "channel"),
    [
        ("11", "one"),
        ("22", "two"),
        ("12", None),
        ("33", None),
        ("", None),
        ("11\n", None),
    ],
)
def test_exactly_one_channel_claims_a_code(
    package: Package, auth_code: str, channel: str | None
) -> None:
    one, two = (
        MANIFEST.format(channel="one", code="11|12"),
        MANIFEST.format(channel="two", code="22|12"),
    )
    assert detect(auth_code, read_manifests(*package(one=one, two=two))) == channel

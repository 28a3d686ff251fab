"""A payment code of every channel is masked in the service's log, the template's too: its manifest
is the one place that says how its codes look.
"""

import pytest
import structlog

from adapters._template.manifest import MANIFEST as TEMPLATE
from adapters.channel import Manifest
from adapters.discovery import discover
from tests.conformance.side import code_form
from tests.real_logs import real_logs

SCANNING = {
    manifest.channel: manifest
    for manifest in (*discover().values(), TEMPLATE)
    if manifest.auth_codes
}


@pytest.mark.parametrize("manifest", SCANNING.values(), ids=SCANNING)
def test_its_payment_codes_are_masked_in_the_log(manifest: Manifest) -> None:
    _, prefix, length = code_form(manifest.auth_codes)
    code = prefix.ljust(length, "7")
    with real_logs(manifests={**discover(), manifest.channel: manifest}) as written:
        structlog.get_logger("t").warning(f"scanned {code}", body=f'{{"said":"{code}"}}')
    assert code not in written.getvalue()
    assert written.getvalue().count(prefix + "*" * (length - len(prefix))) == 2


def test_a_code_of_letters_is_masked_whole() -> None:
    """A device that reads faces gives one."""
    code = "fp" + "0aZ" * 11
    with real_logs() as written:
        structlog.get_logger("t").warning(f"scanned {code}", body=f'{{"said":"{code}"}}')
    assert code not in written.getvalue()
    assert written.getvalue().count("0aZ") == 0

"""What cash can do, as data."""

from adapters.cash.channel import build
from adapters.channel import Flow, LocalManifest
from gateway.limits import AMOUNT_FEN_MAX

MANIFEST = LocalManifest(
    channel="cash",
    flows=frozenset({Flow.CODE}),  # nothing is scanned; local tenders use the default flow
    auth_codes=(),
    amount_max=AMOUNT_FEN_MAX,
    build=build,
    title_zh="现金",
    title_en="Cash",
)

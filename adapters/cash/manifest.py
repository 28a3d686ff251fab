"""What cash can do, as data."""

from types import MappingProxyType

from adapters.cash.channel import build
from adapters.channel import Flow, Manifest
from gateway.limits import AMOUNT_FEN_MAX

MANIFEST = Manifest(
    channel="cash",
    settles="local",
    flows=frozenset({Flow.CODE}),  # nobody scans; local tenders use the default flow
    auth_codes=(),
    amount_max=AMOUNT_FEN_MAX,
    schedules=MappingProxyType({}),
    credentials=None,
    build=build,
    title_zh="现金",
    title_en="Cash",
)

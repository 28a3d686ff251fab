"""What Template can do, as data."""

import re
from types import MappingProxyType

from adapters._template.channel import build
from adapters._template.credentials import Credentials
from adapters.channel import BillDay, Flow, RemoteManifest, Schedule
from adapters.transport import over_http
from gateway.limits import AMOUNT_FEN_MAX

CODE = Schedule(
    first_query_ms=3_000,
    query_every_ms=3_000,
    query_every_ms_max=3_000,
    typing_cancel_ms=60_000,
    unknown_cancel_ms=30_000,
    absent_cancel_ms=10_000,
    cancel_not_before_ms=3_000,
    acts_until_ms=70_000,  # goes out as expires_at_ms: the channel refuses the request after it
    proof_margin_ms=5_000,
)

QR = Schedule(
    first_query_ms=5_000,
    query_every_ms=5_000,
    query_every_ms_max=60_000,
    typing_cancel_ms=None,
    # The answer that carries the code was lost, so nobody can have seen it.
    unknown_cancel_ms=30_000,
    absent_cancel_ms=None,
    cancel_not_before_ms=0,
    acts_until_ms=None,
    proof_margin_ms=30_000,
)

MANIFEST = RemoteManifest(
    channel="_template",
    flows=frozenset({Flow.CODE, Flow.QR}),
    auth_codes=(re.compile(r"^91[0-9]{16}$"),),  # no other channel's pattern may match these
    amount_max=AMOUNT_FEN_MAX,
    schedules=MappingProxyType({Flow.CODE: CODE, Flow.QR: QR}),
    bill_day=BillDay(refunds_by="finished"),
    credentials=Credentials,
    transport=over_http,
    build=build,
    title_zh="Template",
    title_en="Template",
)

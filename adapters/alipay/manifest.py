"""What Alipay can do, as data.

Times: docs of 当面付 "条码支付" and "扫码支付", condensed in one schedule a flow.
"""

import re
from types import MappingProxyType

from adapters.alipay.certificates import certificates
from adapters.alipay.channel import build
from adapters.alipay.credentials import Credentials
from adapters.alipay.orders import FACE_CODE_PREFIX
from adapters.channel import BillDay, Flow, RemoteManifest, Schedule
from adapters.transport import over_http
from gateway.limits import AMOUNT_FEN_MAX

TYPING_MS = 60_000  # how long a payer may type the password before we give up

CODE = Schedule(
    first_query_ms=3_000,  # Alipay asks for 3 to 5 s
    query_every_ms=3_000,
    query_every_ms_max=3_000,
    typing_cancel_ms=TYPING_MS,
    unknown_cancel_ms=30_000,
    # Two queries that found nothing: it hardly arrived, and the customer waits.
    absent_cancel_ms=10_000,
    cancel_not_before_ms=3_000,  # never right after the pay call
    # Goes out as time_expire: after our own cancel, so that the cancel decides.
    acts_until_ms=TYPING_MS + 10_000,
    proof_margin_ms=5_000,
)

QR = Schedule(
    first_query_ms=5_000,
    query_every_ms=5_000,
    query_every_ms_max=60_000,
    typing_cancel_ms=None,
    # The answer that carries the code was lost, so nobody can have seen it: give up early.
    unknown_cancel_ms=30_000,
    absent_cancel_ms=None,  # "no such trade" only says that nobody has scanned yet
    cancel_not_before_ms=0,
    acts_until_ms=None,
    proof_margin_ms=30_000,
)

# "公共错误码" of the open platform, and what its gateway says of requests it cannot place.
ADVICE = {
    "isv.invalid-signature": (
        "app_private_key does not belong to this app_id: "
        "give the key whose public half stands at the application"
    ),
    "isv.missing-signature-key": "the application has no public key yet: set it at Alipay",
    "isv.invalid-app-id": "there is no such app_id at this gateway_url",
    "isv.insufficient-isv-permissions": "the application has not signed for this product",
    "isv.app-call-limited": "the application is not online, or calls too often",
}

MANIFEST = RemoteManifest(
    channel="alipay",
    flows=frozenset({Flow.CODE, Flow.QR}),
    auth_codes=(
        re.compile(r"^(?:2[5-9]|30)[0-9]{14,22}$"),
        re.compile(rf"^{FACE_CODE_PREFIX}[0-9A-Za-z]{{33}}$"),
    ),
    amount_max=AMOUNT_FEN_MAX,
    schedules=MappingProxyType({Flow.CODE: CODE, Flow.QR: QR}),
    bill_day=BillDay(refunds_by="finished"),
    credentials=Credentials,
    transport=over_http,
    build=build,
    certificates=certificates,
    title_zh="支付宝",
    title_en="Alipay",
    qr_expiry_step_s=60,
    advice=tuple(ADVICE.items()),
)

"""WeChat Pay's capabilities, as data.

Schedules: reference section 4 of the channel facts; bounds: the v3 documentation.
"""

import re
from types import MappingProxyType

from adapters.channel import BillDay, Flow, RemoteManifest, Schedule
from adapters.transport import over_http
from adapters.wechat.certificates import certificates
from adapters.wechat.channel import build
from adapters.wechat.credentials import Credentials
from gateway.limits import AMOUNT_FEN_MAX

CODE = Schedule(
    first_query_ms=3_000,
    query_every_ms=5_000,
    query_every_ms_max=5_000,
    typing_cancel_ms=45_000,  # then the app's password page is gone
    unknown_cancel_ms=15_000,
    absent_cancel_ms=None,
    cancel_not_before_ms=15_000,  # WeChat Pay asks for this much between pay and reversal
    acts_until_ms=300_000,  # the window of a signed request; a code itself lives one minute
    proof_margin_ms=5_000,
)

QR = Schedule(
    first_query_ms=5_000,
    query_every_ms=5_000,
    query_every_ms_max=60_000,
    typing_cancel_ms=None,
    unknown_cancel_ms=30_000,
    absent_cancel_ms=None,
    cancel_not_before_ms=0,
    acts_until_ms=None,
    proof_margin_ms=30_000,
)


# API v3, "错误码": what is said of a request before its order is looked at.
ADVICE = {
    "SIGN_ERROR": (
        "merchant_private_key or merchant_serial does not belong to this mchid, "
        "or this host's clock is wrong"
    ),
    "HTTP 401": (
        "merchant_private_key or merchant_serial does not belong to this mchid, "
        "or this host's clock is wrong"
    ),
    "MCH_NOT_EXISTS": "there is no such mchid",
    "APPID_MCHID_NOT_MATCH": "appid and mchid are not bound to each other",
    "NO_AUTH": "the merchant has not signed for this product",
}

MANIFEST = RemoteManifest(
    channel="wechat",
    flows=frozenset({Flow.CODE, Flow.QR}),
    auth_codes=(re.compile(r"^1[0-5][0-9]{16}$"),),
    amount_max=AMOUNT_FEN_MAX,
    schedules=MappingProxyType({Flow.CODE: CODE, Flow.QR: QR}),
    bill_day=BillDay(refunds_by="accepted"),
    credentials=Credentials,
    transport=over_http,
    build=build,
    certificates=certificates,
    title_zh="微信支付",
    title_en="WeChat Pay",
    advice=tuple(ADVICE.items()),
)

"""What cannot be done at this moment, through no fault of the request."""

from __future__ import annotations

from gateway.domain.errors.families import Unavailable
from gateway.domain.verdicts import VerdictCode


class StoreUnavailable(Unavailable):
    """Nothing was sent."""

    code, title, zh = (
        "store_unavailable",
        "The database is not reachable: send the same request again shortly",
        "系统暂不可用，请稍后重试",
    )


class Overloaded(Unavailable):
    """Nothing was written."""

    code, title, zh = (
        "overloaded",
        "Too many payments at this moment: send the same request again shortly",
        "系统繁忙，请稍后重试",
    )


class ChannelsResting(Unavailable):
    """Every account of this way to pay has failed just now and is being probed;
    nothing was written.
    """

    code, zh = "channels_resting", "该支付渠道暂时不可用，请换一种方式或稍后重试"
    title = "This way to pay does not answer at the moment: take another one, or try again"


class DirectoryStale(StoreUnavailable):
    """Our copy of the keys is too old to trust; nothing was sent."""


class OutcomePending(StoreUnavailable):
    """Write 1 was handed over and its fate is not known here: the same key asks again, safely."""

    title, zh = (
        "The payment may have been accepted: send the same request with the same key again",
        "结果确认中，请用同一请求查询",
    )
    verdict = VerdictCode.DO_NOT_CHARGE_AGAIN


class RestoredUnsure(Unavailable):
    """After a database restore, a channel that could have charged this tender before cannot be
    asked. This request sent nothing.
    """

    code = "restored_unsure"
    title = (
        "The database was restored and a channel cannot say whether this was charged before: send "
        "the same request again shortly"
    )
    zh = "系统刚恢复，暂时无法确认此前是否已收款，请勿重复收款，稍后用同一请求重试"
    verdict = VerdictCode.DO_NOT_CHARGE_AGAIN
    retry_after_s = 5

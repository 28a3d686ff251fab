"""What a cashier or a diner reads, word for word: a sentence that says the opposite of what
happened is a customer who pays twice. A change of one changes its line here, on purpose.
"""

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.outcomes import FailureCode
from gateway.domain.verdicts import FAILURES, VERDICTS

VERDICT_SENTENCES = """
paid
    收款成功
    Paid
wait
    等待顾客付款，请稍候
    Waiting for the customer to pay
do_not_charge_again
    结果确认中，请勿重复收款
    Result being checked: do not charge again
safe_to_charge_again
    未收款，可以重新收款
    Not charged: you may charge again
refund_under_way
    款项到账过晚，正在自动退款
    The money came too late and is being given back
refunded
    已退款
    Refunded
refund_needs_action
    退款需人工处理
    The refund needs a person's attention
refund_failed
    退款未成功，款项未退回
    Refund refused: no money moved
try_again
    请求未受理，请重试
    Nothing was sent: please try again
"""

FAILURE_SENTENCES = """
insufficient_balance
    余额不足，请顾客更换付款方式
    Not enough balance: ask for another way to pay
auth_code_expired
    付款码已过期，请刷新后重新扫码
    The payment code has expired: scan a fresh one
auth_code_invalid
    付款码无效，请刷新后重新扫码
    The payment code is not valid: scan a fresh one
payer_account_restricted
    顾客账户受限，请更换付款方式
    The customer's account is restricted: ask for another way to pay
payer_limit_exceeded
    超出顾客支付限额，请更换付款方式
    Over the customer's limit: ask for another way to pay
payment_refused
    支付被拒绝，请更换付款方式
    Refused: ask for another way to pay
risk_refused
    支付存在风险被拒绝，请更换付款方式
    Refused for risk: ask for another way to pay
merchant_limit_exceeded
    超出商户收款限额，请更换付款方式
    Over the shop's limit: use another way to pay
merchant_restricted
    商户收款权限受限，请联系管理员
    The shop's account is restricted: call your administrator
channel_configuration
    渠道配置有误，请联系管理员
    The channel is not set up correctly: call your administrator
channel_busy
    渠道繁忙，请稍后重试
    The channel is busy: try again in a moment
channel_unreachable
    渠道无法连接，未扣款，请重试
    The channel cannot be reached, nothing was charged: try again
request_refused
    支付请求被拒绝，请核对订单
    The request was refused: check the order
tendered_too_little
    实收金额不足
    The cash given is less than the amount
payer_timeout
    顾客未在时限内付款
    The customer did not pay in time
canceled
    已撤销
    Cancelled
not_charged
    已确认未扣款
    Confirmed: not charged
unsupported
    不支持的操作
    Not supported
"""

# class, HTTP status, whether the very same request may be sent again, the verdict
REFUSALS = """
GatewayError             500 not   try_again
BadRequest               400 not   try_again
Malformed                400 not   try_again
IdempotencyKeyMissing    400 not   try_again
Unauthenticated          401 not   try_again
SignatureInvalid         401 not   try_again
SignatureExpired         401 not   try_again
KeyUnknown               401 not   try_again
KeyRevoked               401 not   try_again
Conflict                 409 not   do_not_charge_again
OrderTenderTaken         409 not   do_not_charge_again
AlreadyPaid              409 not   paid
PaymentNotPaid           409 not   do_not_charge_again
RefundExceedsCaptured    409 not   do_not_charge_again
RefundNoTaken            409 not   do_not_charge_again
PaymentFrozen            409 not   do_not_charge_again
OrderInDoubt             409 not   do_not_charge_again
OrderOverpaid            409 not   try_again
OverrideRefused          409 not   do_not_charge_again
WebhookEndpointsFull     409 not   try_again
WebhookEndpointDisabled  409 not   try_again
CursorAhead              409 not   do_not_charge_again
SignatureUsed            409 not   try_again
Refused                  422 not   try_again
FieldUnknown             422 not   try_again
FieldMissing             422 not   try_again
FieldInvalid             422 not   try_again
AmountInvalid            422 not   try_again
LooksLikeACard           422 not   try_again
AuthCodeUnrecognized     422 not   try_again
IdempotencyKeyReused     422 not   do_not_charge_again
MethodUnavailable        422 not   try_again
Unavailable              503 again try_again
StoreUnavailable         503 again try_again
DirectoryStale           503 again try_again
OutcomePending           503 again do_not_charge_again
Overloaded               503 again try_again
ChannelsResting          503 again try_again
RestoredUnsure           503 again do_not_charge_again
NotPermitted             403 not   try_again
NotFound                 404 not   try_again
MethodNotAllowed         405 not   try_again
RateLimited              429 again try_again
TooLarge                 413 not   try_again
"""


def sentences(text: str) -> list[tuple[str, str, str]]:
    """(code, Chinese, English), a line each."""
    words = [line.strip() for line in text.strip().splitlines()]
    return list(zip(words[::3], words[1::3], words[2::3], strict=True))


def errors(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Every class of the tree, its own root first."""
    below = [each for child in root.__subclasses__() for each in errors(child)]
    return [root, *below]


@pytest.mark.parametrize(("code", "zh", "en"), sentences(VERDICT_SENTENCES))
def test_the_verdicts_say_so(code: str, zh: str, en: str) -> None:
    assert (VERDICTS[code].code, VERDICTS[code].zh, VERDICTS[code].en) == (code, zh, en)


@pytest.mark.parametrize(("code", "zh", "en"), sentences(FAILURE_SENTENCES))
def test_the_reasons_say_so(code: str, zh: str, en: str) -> None:
    assert FAILURES[FailureCode(code)] == (zh, en)


def test_no_sentence_is_missing_here() -> None:
    assert [code for code, *_ in sentences(VERDICT_SENTENCES)] == list(VERDICTS)
    assert (
        [code for code, *_ in sentences(FAILURE_SENTENCES)] == list(FailureCode) == list(FAILURES)
    )


def test_what_each_refusal_lets_the_cashier_do() -> None:
    """That the same request may go again, and the verdict, decide about money."""
    found = {
        error.__name__: [
            str(error.http_status),
            "again" if error.sendable_again else "not",
            error.verdict,
        ]
        for error in errors()
        if error.__module__.startswith("gateway.domain.errors")
    }
    assert found == {name: rest for name, *rest in map(str.split, REFUSALS.strip().splitlines())}

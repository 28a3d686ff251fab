"""What a cashier or a diner reads, word for word: a sentence that says the opposite of what
happened is a customer who pays twice. A change of one changes its line here, on purpose.
"""

import pytest

from gateway.domain import verdicts
from gateway.domain.errors import GatewayError
from gateway.domain.outcomes import FailureCode
from gateway.domain.verdicts import FAILURES, VERDICTS, Verdict, VerdictCode

VERDICT_SENTENCES = """
paid
    收款成功
    Paid
already_paid
    此单号此前已收款
    This number was paid before
wait
    正在收款，请稍候
    The payment is being made: please wait
do_not_charge_again
    结果确认中，请勿重复收款
    Result being checked: do not charge again
safe_to_charge_again
    未收款，可以重新收款
    Not charged: you may charge again
refund_under_way
    退款处理中，款项将原路退回
    The refund is on its way to the customer
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
fix_and_try
    请求未受理，请按提示修改后再试
    Nothing was sent: change the request as it says, then try
wait
    等待顾客在手机上确认付款，请稍候
    Waiting for the customer to confirm on the phone
wait
    等待顾客扫码付款，请稍候
    Waiting for the customer to scan and pay
do_not_charge_again
    正在撤销，结果确认中，请勿重复收款
    Being cancelled, result being checked: do not charge again
do_not_charge_again
    结果需人工核实，请勿重复收款
    A person has to check the result: do not charge again
do_not_charge_again
    主管已允许另一笔收款；本笔如到账将自动退款，请勿重复收款
    A supervisor let another payment in; should this one turn out paid, it is given back: \
do not charge it again
safe_to_charge_again
    本笔未收款，可以重新收款；主管此前放行时的原收款仍不作数，如到账将自动退款
    Not charged: you may charge again. The payment that a supervisor overrode for it still \
does not count: should it turn out paid, it is given back
refund_under_way
    款项到账过晚，正在自动退款
    The money came too late and is being given back
refund_under_way
    顾客重复付款，多付的一笔正在自动退款
    The customer paid twice: the second payment is being given back
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

# class, HTTP status, whether the very same request may be sent again, whose verdict is shown, where
# there is no payment to tell of: which
REFUSALS = """
GatewayError             500 not   own     do_not_charge_again
BadRequest               400 not   own     fix_and_try
Malformed                400 not   own     fix_and_try
IdempotencyKeyMissing    400 not   own     fix_and_try
Unauthenticated          401 not   own     fix_and_try
SignatureInvalid         401 not   own     fix_and_try
SignatureExpired         401 not   own     fix_and_try
KeyUnknown               401 not   own     fix_and_try
KeyRevoked               401 not   own     fix_and_try
Conflict                 409 not   own     do_not_charge_again
OrderTenderTaken         409 not   payment do_not_charge_again
OrderUsed                409 not   payment fix_and_try
AlreadyPaid              409 not   payment already_paid
PaymentNotPaid           409 not   payment do_not_charge_again
RefundExceedsCaptured    409 not   own     fix_and_try
RefundNoTaken            409 not   own     fix_and_try
PaymentFrozen            409 not   payment do_not_charge_again
OrderInDoubt             409 not   payment do_not_charge_again
OrderOverpaid            409 not   own     fix_and_try
OverrideRefused          409 not   payment do_not_charge_again
WebhookEndpointsFull     409 not   own     fix_and_try
WebhookEndpointDisabled  409 not   own     fix_and_try
CursorAhead              409 not   own     fix_and_try
SignatureUsed            409 not   own     fix_and_try
Refused                  422 not   own     fix_and_try
FieldUnknown             422 not   own     fix_and_try
FieldMissing             422 not   own     fix_and_try
FieldInvalid             422 not   own     fix_and_try
AmountInvalid            422 not   own     fix_and_try
LooksLikeACard           422 not   own     fix_and_try
AuthCodeUnrecognized     422 not   own     fix_and_try
IdempotencyKeyReused     422 not   payment fix_and_try
MethodUnavailable        422 not   own     fix_and_try
Unavailable              503 again own     try_again
StoreUnavailable         503 again own     try_again
DirectoryStale           503 again own     try_again
OutcomePending           503 again own     do_not_charge_again
Overloaded               503 again own     try_again
ChannelsResting          503 again own     try_again
RestoredUnsure           503 again own     do_not_charge_again
NotPermitted             403 not   own     fix_and_try
Disabled                 403 not   own     fix_and_try
RefundLimitReached       403 not   own     fix_and_try
SupervisorRefused        403 not   own     fix_and_try
SupervisorLocked         403 not   own     fix_and_try
SupervisorWaits          429 again own     try_again
RateLimited              429 again own     try_again
NoSuchObject                 404 not   own     fix_and_try
MethodNotAllowed         405 not   own     fix_and_try
TooLarge                 413 not   own     fix_and_try
"""


def sentences(text: str) -> list[tuple[str, str, str]]:
    """(code, Chinese, English), a line each."""
    words = [line.strip() for line in text.strip().splitlines()]
    return list(zip(words[::3], words[1::3], words[2::3], strict=True))


def errors(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Every class of the tree, its own root first."""
    below = [each for child in root.__subclasses__() for each in errors(child)]
    return [root, *below]


def test_the_verdicts_say_so() -> None:
    """Each code's plain sentence first, then the closer ones."""
    closer = [each for each in vars(verdicts).values() if isinstance(each, Verdict)]
    found = [(each.code, each.zh, each.en) for each in [*VERDICTS.values(), *closer]]
    assert found == sentences(VERDICT_SENTENCES)


@pytest.mark.parametrize(("code", "zh", "en"), sentences(FAILURE_SENTENCES))
def test_the_reasons_say_so(code: str, zh: str, en: str) -> None:
    assert FAILURES[FailureCode(code)] == (zh, en)


def test_no_sentence_is_missing_here() -> None:
    assert list(VERDICTS) == list(VerdictCode)
    assert (
        [code for code, *_ in sentences(FAILURE_SENTENCES)] == list(FailureCode) == list(FAILURES)
    )


def test_what_each_refusal_lets_the_cashier_do() -> None:
    """That the same request may go again, and the verdict, decide about money."""
    found = {
        error.__name__: [
            str(error.http_status),
            "again" if error.sendable_again else "not",
            "payment" if error.tells_of_payment else "own",
            error.verdict,
        ]
        for error in errors()
        if error.__module__.startswith("gateway.domain.errors")
    }
    assert found == {name: rest for name, *rest in map(str.split, REFUSALS.strip().splitlines())}

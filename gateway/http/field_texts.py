"""What each field means, in English and Chinese: one table for the OpenAPI document and the page.

A name stands for the field of every struct; `Struct.name` is about one struct and goes first.
Types, bounds and defaults come from the structs. A test compares both ways, so that a new field
cannot go out without its text.
"""

from typing import Final, NamedTuple


class Text(NamedTuple):
    """One field in both languages; `code` is marked as in markdown."""

    en: str
    zh: str


def text_of(struct: str, field: str) -> Text | None:
    """The text of a field; None when it has none."""
    return TEXTS.get(f"{struct}.{field}") or TEXTS.get(field)


_ANY_STRUCT: Final = {
    "id": Text("Its id.", "编号。"),
    "object": Text("What kind of object this is.", "对象类型。"),
    "version": Text(
        "Rises by one with every change: of two readings the higher one is newer.",
        "版本号，每次变化加一；数字大的较新。",
    ),
    "status": Text(
        "Where it stands. A till branches on `verdict.code`, not on this.",
        "状态。收银端请按 `verdict.code` 判断，不要按状态判断。",
    ),
    "amount": Text("Fen, a JSON integer.", "金额，单位为分，JSON 整数。"),
    "currency": Text("ISO 4217; only `CNY` today.", "币种（ISO 4217），目前只有 `CNY`。"),
    "order_no": Text("The bill's number in your system.", "你方系统的账单号。"),
    "tender_no": Text(
        "Which payment of the bill: one bill may be paid in several.",
        "本账单的第几笔收款；一张账单可以分几笔付。",
    ),
    "store_id": Text("The store.", "门店编号。"),
    "terminal_id": Text(
        "The till; null for a merchant's server.", "收银终端编号；商户服务器发起时为 null。"
    ),
    "operator_id": Text("The cashier.", "收银员编号。"),
    "metadata": Text("Your own references; returned as sent.", "你方自定义的键值，原样返回。"),
    "refund_no": Text(
        "Your number of the refund, unique for your merchant: the same number is the same refund.",
        "你方的退款单号，在商户内唯一；同一单号就是同一笔退款。",
    ),
    "payment_id": Text("The payment it belongs to.", "所属的收款编号。"),
    "verdict": Text(
        "What the cashier does now, as a code and in words.", "收银员现在该怎么做：代码和文字。"
    ),
    "created_at": Text("When it was accepted.", "受理时间。"),
    "data": Text("The objects of this page.", "本页的对象。"),
    "has_more": Text("Whether there is another page.", "是否还有下一页。"),
    "limit": Text("Objects on a page.", "每页数量。"),
    "from": Text(
        "Created then or later. RFC 3339 with an offset; write `+` as `%2B` in a query.",
        "创建时间下限（含）。RFC 3339，带时区；查询串里 `+` 写成 `%2B`。",
    ),
    "to": Text("Created before then. RFC 3339 with an offset.", "创建时间上限（不含）。"),
    "event_id": Text("The event.", "事件编号。"),
    "event_types": Text(
        "The events to be told of; none, or null, means all.",
        "订阅的事件类型；不填或 null 表示全部。",
    ),
    "url": Text("Where events are posted: https, a public host.", "通知地址：https，公网主机。"),
    "concurrency": Text("Deliveries under way at once.", "同时进行的投递数。"),
    "number": Text("1 for the first.", "序号，从 1 开始。"),
    "out_trade_no": Text(
        "The gateway's order number at the channel.", "网关在渠道侧使用的商户订单号。"
    ),
    "channel_account": Text("The channel account that took it.", "实际收款的渠道账户。"),
}

_PAY: Final = {
    "CashBody.tendered": Text(
        "Fen that the customer put down; the answer carries `change`.",
        "顾客实付现金（分）；应答里有找零 `change`。",
    ),
    "OverrideBody.payment_id": Text(
        "The payment in doubt: it can no longer succeed, and a late yes is refunded by itself.",
        "结果未定的那笔收款：它不能再成功，迟到的款项会自动退回。",
    ),
    "OverrideBody.supervisor": Text("Who answers for it.", "负责的主管。"),
    "SupervisorBody.id": Text("The supervisor's id.", "主管编号。"),
    "SupervisorBody.pin": Text(
        "The supervisor's own PIN; never stored or logged.", "主管本人的 PIN；不会保存或写入日志。"
    ),
    "OverrideBody.reason": Text("Why; kept as a risk record.", "原因，作为风险记录保存。"),
    "PayBody.order_no": Text(
        "The bill's number in your system, once for ever in its store: a till that counts from 1 "
        "every day puts the date in front.",
        "你方系统的账单号，在门店内永久唯一；每天从 1 编号的收银端请在前面加上日期。",
    ),
    "PayBody.order_amount": Text(
        "The bill's total in fen, fixed by the first tender that sends it: its tenders never take "
        "more.",
        "账单总额（分），由第一笔带上它的收款确定；各笔收款合计不会超过它。",
    ),
    "PayBody.method": Text(
        "A channel such as `alipay`, `wechat`, `cash`; or `auto`: the payment code tells.",
        "付款方式，如 `alipay`、`wechat`、`cash`；`auto` 表示由付款码识别。",
    ),
    "PayBody.flow": Text(
        "`code`: the till scans the customer. `qr`: the customer scans the till. Left out: `code` "
        "with a payment code or a method, else `qr`.",
        "`code`：收银端扫顾客；`qr`：顾客扫收银端。不填时，有付款码或付款方式为 `code`。",
    ),
    "PayBody.auth_code": Text(
        "The scanned payment code; blanks are ignored. Never stored or logged whole.",
        "扫到的付款码，忽略空格；不会完整保存或写入日志。",
    ),
    "PayBody.cash": Text(
        "Only with `method` `cash`. Left out: the exact amount.",
        "仅用于 `method` 为 `cash`；不填表示实收等于应收。",
    ),
    "PayBody.expires_in": Text(
        "Seconds a shown QR code lives; only for `qr`.", "展示的二维码的有效秒数，仅用于 `qr`。"
    ),
    "PayBody.override": Text(
        "Only while another tender of the bill is `in_doubt`.",
        "仅当该账单另一笔收款为 `in_doubt` 时使用。",
    ),
    "PayBody.store_id": Text(
        "Needed with a merchant's key; a terminal's key already says it.",
        "商户密钥必填；终端密钥已确定门店。",
    ),
    "PayBody.description": Text(
        "What the customer reads in the wallet.", "顾客在钱包里看到的商品说明。"
    ),
    "PayBody.notify_url": Text(
        "The events of this payment and its refunds go there: same scheme, host and port as one of "
        "your webhook endpoints.",
        "这笔收款及其退款的事件发到此地址；协议、主机、端口须与你方某个通知地址相同。",
    ),
    "RefundBody.reason": Text(
        "Shown to the customer where the channel does that.", "退款原因；渠道支持时展示给顾客。"
    ),
    "RefundBody.amount": Text(
        "Fen; at most what is left of the captured amount.", "退款金额（分），不超过剩余可退金额。"
    ),
    "ResendBody.event_id": Text(
        "This event, delivered or not.", "重发这一事件，不论此前是否送达。"
    ),
    "ResendBody.dead_since": Text(
        "The dead letters of events from then on, oldest first.",
        "重发该时间起未送达（死信）的事件，先旧后新。",
    ),
}

_QUERIES: Final = {
    "ReadQuery.wait": Text(
        "Seconds to wait for the next change that a reader can see.", "等待下一次可见变化的秒数。"
    ),
    "PaymentsQuery.method": Text("Only payments of this method.", "只看此付款方式的收款。"),
    "PaymentsQuery.channel_account": Text(
        "Only payments that were tried at this channel account.", "只看使用过此渠道账户的收款。"
    ),
    "PaymentsQuery.out_trade_no": Text(
        "The payment with this number of ours at the channel.", "我方在渠道的订单号为此值的收款。"
    ),
    "PaymentsQuery.channel_trade_no": Text(
        "The payment with this number of the channel.", "渠道交易号为此值的收款。"
    ),
    "PaymentsQuery.business_date": Text(
        "Only payments of this business day.", "只看此营业日的收款。"
    ),
    "PaymentsQuery.paid_from": Text("Paid at or after this time.", "付款时间不早于此。"),
    "PaymentsQuery.paid_to": Text("Paid before this time.", "付款时间早于此。"),
    "RefundsQuery.origin": Text("Only refunds of this origin.", "只看此来源的退款。"),
    "RefundsQuery.payment": Text("Only refunds of this payment.", "只看此笔收款的退款。"),
    "PaymentsQuery.starting_after": Text(
        "The last payment id of the page before.", "上一页最后一笔收款的编号。"
    ),
    "RefundsQuery.starting_after": Text(
        "The last refund id of the page before.", "上一页最后一笔退款的编号。"
    ),
    "WebhookEndpointsQuery.starting_after": Text(
        "The last endpoint id of the page before.", "上一页最后一个端点的编号。"
    ),
    "DeliveriesQuery.starting_after": Text(
        "The last event id of the page before.", "上一页最后一个事件的编号。"
    ),
    "DeliveriesQuery.state": Text("Only deliveries in this state.", "只看此状态的投递。"),
    "EventsQuery.after": Text(
        "`next_cursor` of the page before; left out: from the beginning.",
        "上一页的 `next_cursor`；不填则从头读。",
    ),
}

_PAYMENT: Final = {
    "NextAction.type": Text(
        "`poll`: ask again after `after_ms`. `show_qr`: show `qr_code`, and ask again.",
        "`poll`：过 `after_ms` 再查询；`show_qr`：展示 `qr_code` 并继续查询。",
    ),
    "NextAction.after_ms": Text(
        "Milliseconds until the next question; `?wait=30` answers earlier.",
        "下次查询前的毫秒数；用 `?wait=30` 可更早得到应答。",
    ),
    "NextAction.decides_by": Text(
        "By then there is an answer, or a person has been called; it moves when more is known. "
        "Left out once a person was called, for a refund that the channel has accepted, and in "
        "events.",
        "最迟到此时有结论，或已转人工；了解更多后会变化。已转人工、渠道已受理的退款以及事件中不出现。",
    ),
    "NextAction.override_possible": Text(
        "A supervisor may let another payment of the bill in.", "主管可以放行该账单的另一笔收款。"
    ),
    "NextAction.qr_code": Text("The text of the QR code to draw.", "二维码的内容文本。"),
    "FailureResource.code": Text("Why it was not charged.", "未收款的原因。"),
    "FailureResource.retry": Text(
        "`rescan`: a fresh code. `other_method`: another way to pay. `same_method`: the same "
        "again. `none`: do not try.",
        "`rescan`：刷新后重扫；`other_method`：换付款方式；`same_method`：同一方式重试；`none`：不重试。",
    ),
    "FailureResource.channel_code": Text("The channel's own word.", "渠道返回的原始代码。"),
    "RefundFailure.code": Text("Why it was refused.", "退款被拒的原因。"),
    "RefundFailure.channel_code": Text("The channel's own word.", "渠道返回的原始代码。"),
    "zh": Text("For a screen in Chinese.", "中文屏幕显示的文字。"),
    "en": Text("For a screen in English.", "英文屏幕显示的文字。"),
    "Verdict.code": Text(
        "Stable, for machines. Treat a word you do not know as `do_not_charge_again`, and poll.",
        "供程序判断，固定不变；不认识的代码一律按 `do_not_charge_again` 处理并继续查询。",
    ),
    "Payer.ref_masked": Text("As the channel masks it.", "渠道脱敏后的付款人标识。"),
    "DiscountResource.name": Text("As the channel names it.", "渠道给出的优惠名称。"),
    "DiscountResource.amount": Text("Fen that the customer did not pay.", "顾客少付的金额（分）。"),
    "DiscountResource.funded_by": Text(
        "`channel`: the shop gets this money. `merchant`: the shop bears it.",
        "`channel`：渠道出资，商户照收；`merchant`：商户承担。",
    ),
    "AttemptResource.status": Text("Where this try stands.", "本次尝试的状态。"),
    "AttemptResource.sent_at": Text("When it was about to be sent.", "即将发出的时间。"),
    "AttemptResource.captured_amount": Text("Fen that it took.", "实际扣款（分）。"),
    "AttemptResource.returned_amount": Text("Fen that went back.", "已退回（分）。"),
    "AttemptResource.why": Text("Why this account was chosen.", "选择该账户的理由。"),
    "PaymentResource.amount": Text("Fen that were asked for.", "应收金额（分）。"),
    "PaymentResource.amount_captured": Text(
        "Fen that the payment took, before discounts and fees; 0 until it is paid. Refunds are "
        "bounded by it.",
        "已收款金额（分），未扣除优惠和手续费；未付款时为 0。退款以此为上限。",
    ),
    "PaymentResource.amount_received": Text(
        "Fen of it that reach the shop before fees: less than `amount_captured` by what the shop "
        "itself gave as discounts.",
        "其中商户应得的部分（分，未扣手续费）：比 `amount_captured` 少商户自己承担的优惠。",
    ),
    "PaymentResource.amount_refunded": Text("Fen that were given back.", "已退款金额（分）。"),
    "PaymentResource.discounts": Text(
        "Parts of the price that the customer did not pay.", "顾客未付的优惠部分。"
    ),
    "PaymentResource.fee": Text(
        "Fen; null until the channel's bill says it.", "手续费（分），对账前为 null。"
    ),
    "PaymentResource.method": Text("The channel that was used.", "实际使用的渠道。"),
    "PaymentResource.flow": Text(
        "`code`: the till scanned. `qr`: the customer scanned.",
        "`code`：收银端扫码；`qr`：顾客扫码。",
    ),
    "PaymentResource.description": Text("As sent.", "商品说明，原样返回。"),
    "PaymentResource.business_date": Text(
        "The day it belongs to, in Asia/Shanghai.", "所属营业日（北京时间）。"
    ),
    "PaymentResource.channel_trade_no": Text(
        "The channel's own number; it is on the customer's receipt.", "渠道交易号，顾客账单上可见。"
    ),
    "PaymentResource.payer": Text("Who paid; null until known.", "付款人；未知时为 null。"),
    "PaymentResource.change": Text("Fen of change, for cash.", "找零（分），仅现金。"),
    "PaymentResource.card": Text("Not in use yet: null.", "尚未使用，恒为 null。"),
    "PaymentResource.member": Text("Not in use yet: null.", "尚未使用，恒为 null。"),
    "PaymentResource.next_action": Text(
        "What the till does next; null when the payment has ended.",
        "收银端下一步；收款已结束时为 null。",
    ),
    "PaymentResource.failure": Text(
        "Why it was proven not charged; else null.", "已证实未收款的原因，否则为 null。"
    ),
    "PaymentResource.attempts": Text("Each try on a channel account.", "在渠道账户上的每次尝试。"),
    "PaymentResource.paid_at": Text("When the channel took the money.", "渠道扣款时间。"),
    "PaymentResource.expires_at": Text("When a shown QR code dies.", "所展示二维码的失效时间。"),
    "PaymentResource.cancel_requested_at": Text("When a cancel was asked for.", "请求撤销的时间。"),
    "PaymentResource.overrides": Text(
        "The payment in doubt for which a supervisor let this one in; its money, should it come, "
        "goes back.",
        "主管放行本笔时仍未确定的原收款；其款项如到账将自动退回。",
    ),
}

_REFUND: Final = {
    "RefundResource.next_action": Text(
        "When to ask again; null when the refund has ended.", "何时再查询；退款已结束时为 null。"
    ),
    "RefundResource.attempt_id": Text("The try whose money goes back.", "退回哪一次尝试的款项。"),
    "RefundResource.out_refund_no": Text(
        "The gateway's refund number at the channel.", "网关在渠道侧使用的退款单号。"
    ),
    "RefundResource.channel_refund_no": Text("The channel's own number.", "渠道退款号。"),
    "RefundResource.failure": Text(
        "Why it was refused or needs a person; else null.", "被拒或需人工处理的原因，否则为 null。"
    ),
    "RefundResource.origin": Text(
        "`merchant`: you asked. `late`: money that came after a no. `surplus`: money that came "
        "twice.",
        "`merchant`：商户发起；`late`：判定未收款后才到账；`surplus`：重复到账。",
    ),
    "RefundResource.reason": Text("As sent.", "退款原因，原样返回。"),
    "RefundResource.refunded_at": Text("When the channel gave it back.", "渠道退款时间。"),
}

_EVENTS: Final = {
    "EventResource.type": Text("What happened.", "事件类型。"),
    "EventResource.id": Text(
        "The same in the feed, in every webhook and every resend: keep it to notice repeats.",
        "事件流、通知及每次重发中都相同：据此去重。",
    ),
    "EventResource.created_at": Text("When it happened.", "发生时间。"),
    "EventResource.data": Text(
        "The object at that version, under its own name.", "该版本的对象，以对象名为键。"
    ),
    "EventData.payment": Text("In `payment.…` events.", "`payment.…` 事件的收款对象。"),
    "EventData.refund": Text("In `refund.…` events.", "`refund.…` 事件的退款对象。"),
    "EventsPage.next_cursor": Text(
        "The next request's `after`; null on an empty feed.",
        "下次请求的 `after`；没有事件时为 null。",
    ),
    "WebhookEndpointResource.status": Text("Whether events are sent.", "是否投递事件。"),
    "WebhookEndpointResource.disabled_reason": Text(
        "`by_hand`, or `gone`: it answered 410. Null while enabled.",
        "`by_hand`：人工停用；`gone`：对方返回 410。启用时为 null。",
    ),
    "WebhookEndpointResource.rotating_until": Text(
        "Until then an earlier secret signs too.", "在此之前旧密钥也同时签名。"
    ),
    "WebhookEndpointResource.secret": Text(
        "Shown when it is made, at creation and rotation; null ever after.",
        "仅在创建和轮换时显示一次，此后为 null。",
    ),
    "DeliveryAnswer.at": Text("When it was tried.", "投递时间。"),
    "DeliveryAnswer.status": Text(
        "The HTTP status; null: no answer came.", "HTTP 状态码；null 表示没有应答。"
    ),
    "DeliveryAnswer.words": Text(
        "The beginning of the answer's body, or why no answer came.",
        "应答体开头，或没有应答的原因。",
    ),
    "DeliveryAnswer.took_ms": Text("Milliseconds.", "耗时（毫秒）。"),
    "DeliveryResource.type": Text("What happened.", "事件类型。"),
    "DeliveryResource.url": Text(
        "Its own address (`notify_url`); null: the endpoint's.",
        "单独指定的地址；null 表示用该端点的地址。",
    ),
    "DeliveryResource.state": Text("`dead`: no more tries by itself.", "`dead`：不再自动重试。"),
    "DeliveryResource.tries": Text("How often it was tried.", "已投递次数。"),
    "DeliveryResource.due_at": Text("The next try.", "下次投递时间。"),
    "DeliveryResource.answers": Text("The newest tries, newest first.", "最近的投递，先新后旧。"),
    "ResentResource.resent": Text(
        "How many are due now; call again for the rest.", "已安排重发的数量；仍有剩余时再次调用。"
    ),
}

_PROBLEM: Final = {
    "Problem.type": Text("Where the error is described.", "错误说明的位置。"),
    "Problem.title": Text("What this code always means.", "该错误码的固定含义。"),
    "Problem.status": Text("The HTTP status.", "HTTP 状态码。"),
    "Problem.code": Text("Stable, for machines.", "固定的错误码，供程序判断。"),
    "Problem.detail": Text("What is wrong this time.", "本次的具体问题。"),
    "Problem.detail_zh": Text("The same in Chinese.", "本次的具体问题（中文）。"),
    "Problem.request_id": Text("Tell it when you ask about this request.", "咨询时请提供此编号。"),
    "Problem.field": Text("The field to blame.", "出错的字段。"),
    "Problem.payment": Text("The payment that stands in the way.", "与请求冲突的收款。"),
    "Problem.server_time": Text(
        "Unix seconds here, for a till whose clock is wrong.", "服务器时间（Unix 秒），供校时。"
    ),
    "ReadyResource.ready": Text("Whether this worker takes traffic.", "是否可接流量。"),
    "AliveResource.status": Text("The process answers.", "进程存活。"),
}

TEXTS: Final = {
    **_ANY_STRUCT,
    **_PAY,
    **_QUERIES,
    **_PAYMENT,
    **_REFUND,
    **_EVENTS,
    **_PROBLEM,
}

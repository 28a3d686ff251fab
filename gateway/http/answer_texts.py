"""What is answered and told, field by field; `field_texts` says how the names are read."""

from typing import Final

from gateway.http.text import Text

PAYMENT: Final = {
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
        "The store's business day: of the opening, and once paid, for good, of the moment in which "
        "the channel took the money (of its arrival, when that was too late).",
        "门店营业日：先按创建时间，付款后改按渠道收款时间（迟到的按到账时间），此后不再变。",
    ),
    "PaymentResource.channel_date": Text(
        "The day of the channel's bill that lists it; null until paid, and for a method without "
        "bills. Payments made before days followed the success have none.",
        "渠道账单所属日；未付款或无账单的方式为 null。早期收款无此值。",
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

REFUND: Final = {
    "RefundResource.business_date": Text(
        "The store's business day on which it was accepted.", "受理退款时的门店营业日。"
    ),
    "RefundResource.channel_date": Text(
        "The day of the channel's bill that lists it; null until known.",
        "渠道账单所属日；未知时为 null。",
    ),
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

EVENTS: Final = {
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

PROBLEM: Final = {
    "Problem.type": Text("Where the error is described.", "错误说明的位置。"),
    "Problem.title": Text("What this code always means.", "该错误码的固定含义。"),
    "Problem.status": Text("The HTTP status.", "HTTP 状态码。"),
    "Problem.code": Text("Stable, for machines.", "固定的错误码，供程序判断。"),
    "Problem.detail": Text("What is wrong this time.", "本次的具体问题。"),
    "Problem.detail_zh": Text("The same in Chinese.", "本次的具体问题（中文）。"),
    "Problem.request_id": Text("Tell it when you ask about this request.", "咨询时请提供此编号。"),
    "Problem.field": Text("The field to blame.", "出错的字段。"),
    "Problem.payment": Text("The payment that stands in the way.", "与请求冲突的收款。"),
    "Problem.order": Text(
        "The order whose amount would be exceeded.", "将被超收的订单（`order_overpaid`）。"
    ),
    "OrderResource.amount": Text("The bill's total.", "订单总额。"),
    "OrderResource.amount_taken": Text(
        "By tenders that are live or paid, less what was given back.",
        "进行中和已支付的收款合计，减去已退款。",
    ),
    "OrderResource.amount_left": Text("What may still be charged.", "还可收取的金额。"),
    "Problem.server_time": Text(
        "Unix seconds here, for a till whose clock is wrong.", "服务器时间（Unix 秒），供校时。"
    ),
    "ReadyResource.ready": Text("Whether this worker takes traffic.", "是否可接流量。"),
    "AliveResource.status": Text("The process answers.", "进程存活。"),
}

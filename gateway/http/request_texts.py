"""What is asked for, field by field; `field_texts` says how the names are read."""

from typing import Final

from gateway.http.text import Text

ANY_STRUCT: Final = {
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

PAY: Final = {
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

QUERIES: Final = {
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
    "PaymentsQuery.channel_date": Text(
        "Only payments of this day of their channel's bill.", "只看渠道账单日为此日的收款。"
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

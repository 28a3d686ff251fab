"""The first half of the page at `/docs`: what a person needs before the routes. Verdicts, the first
payment, how a till asks again, taking events, generated clients.
"""

from html import escape
from importlib.resources import files
from typing import Final

from gateway.domain.verdicts import VERDICTS
from gateway.http.markup import both
from gateway.http.text import Text
from gateway.limits import WAIT_S_DEFAULT, WAIT_S_MAX

SAMPLES: Final = {
    "Python": ("pay.py.txt", "receive.py.txt"),
    "Node.js": ("pay.mjs.txt", "receive.mjs.txt"),
    "Shell": ("pay.sh.txt", None),
}

# What the cashier does, by verdict: a code that is not here is shown with its own sentence only.
ACTS: Final = {
    "paid": ("hands over the goods", "交付商品"),
    "already_paid": (
        "hands over nothing: the number took money for another request, as the sentence says",
        "不交付商品：此单号已为另一请求收款，详见提示语",
    ),
    "wait": (
        "waits; `next_action` says whether to poll or to show a QR code",
        "等待；按 `next_action` 继续查询或展示二维码",
    ),
    "do_not_charge_again": (
        "waits, and takes no other payment for it; the till asks again with the same key",
        "等待，不得另行收款；收银端用同一幂等键继续查询",
    ),
    "safe_to_charge_again": (
        "may charge again, with a new key; `failure.retry` says how",
        "可以用新的幂等键重新收款；方式见 `failure.retry`",
    ),
    "try_again": (
        "sends the same request with the same key: nothing was sent",
        "用同一幂等键重发同一请求：渠道尚未收到任何请求",
    ),
    "fix_and_try": (
        "changes the request as `detail` says: the same one would be refused again",
        "按 `detail_zh` 修改请求：原样重发仍会被拒绝",
    ),
    "refund_under_way": ("tells the customer that the money is on its way", "告知顾客退款处理中"),
    "refunded": ("tells the customer that the money went back", "告知顾客已退款"),
    "refund_needs_action": ("calls the manager", "请店长处理"),
    "refund_failed": ("calls the manager: no money moved", "请店长处理：款项未退回"),
}


def guide() -> str:
    """HTML."""
    return _verdicts() + _first_payment() + _asking_again() + _events() + _clients()


def sample(name: str) -> str:
    """The text of one sample; docs/first-payment.md and docs/webhooks.md show the same."""
    return files("gateway.http").joinpath("samples", name).read_text(encoding="utf-8")


def _verdicts() -> str:
    rows = [
        f"<dt><code>{verdict.code}</code> {escape(verdict.en)} "
        f"<span class=zh lang=zh>{escape(verdict.zh)}</span></dt>"
        f"<dd>{both(*ACTS.get(verdict.code, ('', '')))}</dd>"
        for verdict in VERDICTS.values()
    ]
    about = both(
        "A till branches on `verdict.code` and shows `verdict.zh` or `verdict.en`. It treats a "
        "code that it does not know as `do_not_charge_again`, and asks again.",
        "收银端按 `verdict.code` 判断，并显示 `verdict.zh` 或 `verdict.en`。不认识的代码一律按 "
        "`do_not_charge_again` 处理并继续查询。",
    )
    return f"<h2 id=verdicts>Verdicts 结论</h2><p>{about}</p><dl>{''.join(rows)}</dl>"


def _first_payment() -> str:
    about = both(
        "The whole of a till, in one screen: set `URL`, `KEY_ID` and `SECRET`.",
        "一屏代码即是一个完整的收银端：设置 `URL`、`KEY_ID`、`SECRET` 后运行。",
    )
    shown = [_sample(language, pay) for language, (pay, _) in SAMPLES.items()]
    return f"<h2 id=first-payment>The first payment 第一笔收款</h2><p>{about}</p>{''.join(shown)}"


def _asking_again() -> str:
    rules = (
        Text(
            f"A call waits for the channel up to {WAIT_S_DEFAULT} s (`Prefer: wait=N`, at most "
            f"{WAIT_S_MAX}), then answers with the state so far; the payment goes on.",
            f"调用最多等待渠道 {WAIT_S_DEFAULT} 秒（`Prefer: wait=N`，最多 {WAIT_S_MAX}），"
            f"随后返回当前状态；收款继续进行。",
        ),
        Text(
            "The same request with the same `Idempotency-Key` is a retry and a query: it never "
            "charges twice. Keep the key until the verdict ends the payment, over a restart of the "
            "till, too.",
            "同一请求加同一 `Idempotency-Key` 既是重试也是查询，绝不会重复扣款。"
            "在得到最终结论之前请保存该键，收银端重启后也要用它。",
        ),
        Text(
            f"Or ask `GET /v1/payments/{{payment_id}}?wait={WAIT_S_MAX}`: it answers when "
            f"something changes. Without waiting, ask again after `next_action.after_ms`.",
            f"也可以查询 `GET /v1/payments/{{payment_id}}?wait={WAIT_S_MAX}`，有变化即返回；"
            f"不等待时，过 `next_action.after_ms` 再查询。",
        ),
        Text(
            "No answer (a timeout, a broken connection, a 502 of a proxy) means "
            "`do_not_charge_again`: ask again with the same key. Give a call 40 s.",
            "没有应答（超时、断线、代理返回 502）按 `do_not_charge_again` 处理："
            "用同一幂等键再次请求。每次调用请给 40 秒超时。",
        ),
        Text(
            "TLS 1.2 or newer, certificates verified; keep one connection open and use it again; "
            "follow no redirects. A proxy must not change the path, the query or the body.",
            "使用 TLS 1.2 及以上并校验证书；保持并复用连接；不跟随重定向。"
            "代理不得改动路径、查询串和请求体。",
        ),
    )
    items = "".join(f"<li>{both(en, zh)}</li>" for en, zh in rules)
    return f"<h2 id=asking-again>How a till asks again 收银端如何查询</h2><ul>{items}</ul>"


def _events() -> str:
    about = both(
        "Events come as Standard Webhooks. `tillgate listen` brings them to a laptop without an "
        "endpoint. The receiver, with `WEBHOOK_SECRET` as it was shown:",
        "事件按 Standard Webhooks 规范投递。`tillgate listen` 无需登记地址即可把事件送到本机。"
        "接收端示例，`WEBHOOK_SECRET` 为创建时显示的密钥：",
    )
    shown = [_sample(language, receive) for language, (_, receive) in SAMPLES.items() if receive]
    return f"<h2 id=webhooks>Taking events 接收事件通知</h2><p>{about}</p>{''.join(shown)}"


def _clients() -> str:
    about = both(
        "`/openapi.json` makes clients: openapi-typescript, openapi-python-client, and "
        "openapi-generator for Java, Go and Python. Sign in their hook for requests. Switch on "
        "what the generator has for values of enums that are not listed (for Java and C#: "
        "`enumUnknownDefaultCase=true`).",
        "可用 `/openapi.json` 生成客户端：openapi-typescript、openapi-python-client，以及 "
        "openapi-generator（Java、Go、Python）。在其请求钩子里签名；"
        "请打开生成器对未列出的枚举值的兼容选项（Java、C#：`enumUnknownDefaultCase=true`）。",
    )
    return f"<h2 id=clients>Generated clients 生成客户端</h2><p>{about}</p>"


def _sample(language: str, name: str) -> str:
    return f"<details><summary>{language}</summary><pre>{escape(sample(name))}</pre></details>"

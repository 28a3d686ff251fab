"""The page at `/docs`: the OpenAPI document as one static page without script, font,
image or any other request.

Rendered once at start-up. The style is allowed by its hash, so even a text that slipped through
could run nothing.
"""

import base64
import hashlib
from collections.abc import Callable
from html import escape
from typing import Any

import msgspec

from gateway.http.docs_guide import guide
from gateway.http.markup import both, marked
from gateway.http.operations import Documents
from gateway.http.problems import documented

Json = dict[str, Any]

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--dim:#666}
@media(prefers-color-scheme:dark){:root{--dim:#aaa}}
body{font:16px/1.55 system-ui,"PingFang SC","Microsoft YaHei",sans-serif;\
max-width:60rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1,h2,h3{line-height:1.25}\
h2{border-bottom:1px solid var(--line);margin-top:2.5rem}\
h3{margin-top:2rem}
code,pre{font:13px/1.5 ui-monospace,Consolas,monospace;background:var(--soft);border-radius:4px}\
code{padding:.1em .3em}
pre{padding:.8rem;overflow-x:auto}
dl{margin:0}dt{margin-top:.6rem;border-top:1px solid var(--line);padding-top:.6rem}\
dd{margin:.1rem 0 0 1rem}summary{cursor:pointer;padding:.3rem 0}
nav li{margin:.2rem 0}.method{font-weight:700}.zh,.kind{color:var(--dim)}\
section{margin-bottom:2rem}
"""


def render(openapi: Json, encode: Callable[[Json], bytes]) -> Documents:
    """Both documents, ready to send."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'"
    )
    return Documents(
        openapi=encode(openapi), page=page(openapi).encode(), content_security_policy=policy
    )


def page(openapi: Json) -> str:
    """The HTML text."""
    operations = [
        (method, path, each)
        for path, methods in openapi["paths"].items()
        for method, each in methods.items()
    ]
    schemas = openapi["components"]["schemas"]
    parts = [
        (
            "<!doctype html><html lang=en><head><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width,initial-scale=1'>"
        ),
        f"<title>Tillgate API</title><style>{STYLE}</style></head><body>",
        f"<h1>Tillgate API v{escape(openapi['info']['version'])}</h1>",
        f"<p>{_told(openapi['info'])}</p>",
        (
            "<p>For programs <span class=zh lang=zh>供程序使用</span>: "
            "<a href='/openapi.json'>/openapi.json</a></p>"
        ),
        _contents(operations),
        guide(),
        _signing(openapi["components"]["securitySchemes"]["till_signature"]),
        "<h2 id=routes>Routes 接口</h2>",
        *(_operation(method, path, each, openapi) for method, path, each in operations),
        "<h2 id=received>What your server receives 你方服务器接收的通知</h2>",
        _operation("post", "/your/path", openapi["webhooks"]["event"]["post"], openapi),
        "<h2 id=schemas>Schemas 数据结构</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
        _errors(),
        "</body></html>",
    ]
    return "\n".join(parts)


def _contents(operations: list[tuple[str, str, Json]]) -> str:
    parts = (
        ("verdicts", "Verdicts 结论"),
        ("first-payment", "The first payment 第一笔收款"),
        ("asking-again", "How a till asks again 收银端如何查询"),
        ("webhooks", "Taking events 接收事件通知"),
        ("clients", "Generated clients 生成客户端"),
        ("signing", "Signing requests 请求签名"),
        ("schemas", "Schemas 数据结构"),
        ("errors", "Errors 错误码"),
    )
    items = [f"<li><a href='#{anchor}'>{title}</a></li>" for anchor, title in parts]
    items += [
        f"<li><span class=method>{method.upper()}</span> "
        f"<a href='#{each['operationId']}'><code>{escape(path)}</code></a> "
        f"{escape(each['summary'])} <span class=zh lang=zh>{escape(each['x-summary-zh'])}</span>"
        f"</li>"
        for method, path, each in operations
    ]
    return f"<nav><h2>Contents 目录</h2><ul>{''.join(items)}</ul></nav>"


def _signing(scheme: Json) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(text)}</code></dd>"
        for name, text in scheme["x-test-vector"].items()
    )
    about = both(
        "Test vector: your code must give exactly this `sig`.",
        "测试向量：你的代码必须得到与此完全相同的 `sig`。",
    )
    return (
        f"<h2 id=signing>Signing requests 请求签名</h2><pre>{escape(scheme['description'])}</pre>"
        f"<p>{about}</p><dl>{rows}</dl>"
    )


def _operation(method: str, path: str, operation: Json, openapi: Json) -> str:
    answers = [
        f"<dt><b>{status}</b> <span class=kind>{_content(answer)}</span></dt>"
        f"<dd>{marked(answer['description'])}"
        f"{_headers(answer)}{_examples(answer, openapi)}</dd>"
        for status, answer in operation["responses"].items()
    ]
    parts = [
        (
            f"<section><h3 id='{operation['operationId']}'>"
            f"<span class=method>{method.upper()}</span> <code>{escape(path)}</code></h3>"
        ),
        f"<p>{both(operation['summary'], operation['x-summary-zh'])}</p>",
        f"<p>{marked(operation.get('description', ''))}</p>",
        _parameters(operation["parameters"]),
        _body(operation.get("requestBody", {}), openapi),
        f"<h4>Answers 应答</h4><dl>{''.join(answers)}</dl></section>",
    ]
    return "".join(parts)


def _parameters(parameters: list[Json]) -> str:
    if not parameters:
        return ""
    rows = [
        _row(each["name"], f"{each['in']}, ", each["schema"], each, required=each["required"])
        for each in parameters
    ]
    return f"<h4>Parameters 参数</h4><dl>{''.join(rows)}</dl>"


def _row(name: str, where: str, schema: Json, texts: Json, *, required: bool) -> str:
    """One field or parameter."""
    needed = ", required 必填" if required else ""
    return (
        f"<dt><code>{escape(name)}</code> "
        f"<span class=kind>{where}{_shape(schema)}{needed}</span></dt><dd>{_told(texts)}</dd>"
    )


def _body(body: Json, openapi: Json) -> str:
    if not body:
        return ""
    content = next(iter(body["content"].values()))
    if "$ref" not in content["schema"]:
        return "<h4>Body 请求体</h4><p>As the channel sends it.</p>"
    return (
        f"<h4>Body 请求体</h4><p>{_shape(content['schema'])}</p>"
        f"{_examples({'content': body['content']}, openapi)}"
    )


def _examples(described: Json, openapi: Json) -> str:
    """Of JSON bodies; those of problems are all alike, and left out."""
    content = described.get("content", {}).get("application/json", {})
    shown = []
    for reference in content.get("examples", {}).values():
        example = openapi["components"]["examples"][reference["$ref"].rpartition("/")[2]]
        text = msgspec.json.format(msgspec.json.encode(example["value"])).decode()
        shown.append(
            f"<details><summary>Example 示例: {escape(example['summary'])}</summary>"
            f"<pre>{escape(text)}</pre></details>"
        )
    return "".join(shown)


def _headers(answer: Json) -> str:
    return "".join(
        f"<br><code>{escape(name)}</code> {marked(header['description'])}"
        for name, header in answer.get("headers", {}).items()
    )


def _content(answer: Json) -> str:
    return ", ".join(
        f"{_shape(content['schema'])} <code>{escape(media)}</code>"
        for media, content in answer.get("content", {}).items()
    )


def _schema(name: str, schema: Json) -> str:
    rows = [
        _row(field, "", each, each, required=field in schema["required"])
        for field, each in schema["properties"].items()
    ]
    return (
        f"<section><h3 id='schema-{escape(name)}'>{escape(name)}</h3>"
        f"<p>{marked(schema['description'])}</p><dl>{''.join(rows)}</dl></section>"
    )


def _errors() -> str:
    rows = [
        f"<dt id='{error.code}'>{error.http_status} <code>{error.code}</code></dt>"
        f"<dd>{both(error.title, error.zh)}</dd>"
        for error in sorted(documented(), key=lambda each: each.http_status)
    ]
    return f"<h2 id=errors>Errors 错误码</h2><dl>{''.join(rows)}</dl>"


def _told(texts: Json) -> str:
    """Both languages, where there are both."""
    return both(texts.get("description", ""), texts.get("x-description-zh", ""))


def _shape(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_shape(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(
            f"<code>{'null' if each is None else escape(str(each))}</code>"
            for each in schema["enum"]
        )
    kinds = schema.get("type", "anything")
    kind, *null = kinds if isinstance(kinds, list) else [kinds]
    if kind == "array":
        return f"list of {_shape(schema['items'])}"
    words = [escape(" or ".join([str(schema.get("format") or kind), *null]))]
    words += [f"{label} {schema[name]}" for name, label in _BOUNDS.items() if name in schema]
    if "pattern" in schema:
        words.append(f"<code>{escape(schema['pattern'])}</code>")
    return ", ".join(words)


_BOUNDS = {
    "minimum": "≥",
    "maximum": "≤",
    "minLength": "chars ≥",
    "maxLength": "chars ≤",
    "maxProperties": "entries ≤",
}

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

from gateway.http.operations import Documents
from gateway.http.problems import documented

Json = dict[str, Any]

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.55 system-ui,"PingFang SC","Microsoft YaHei",sans-serif;\
max-width:60rem;margin:0 auto;padding:1rem}
h1,h2,h3{line-height:1.25}\
h2{border-bottom:1px solid var(--line);margin-top:2.5rem}\
h3{margin-top:2rem}
code,pre{font:13px/1.5 ui-monospace,Consolas,monospace;background:var(--soft);border-radius:4px}\
code{padding:.1em .3em}
pre{padding:.8rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
td,th{border:1px solid var(--line);padding:.3rem .5rem;text-align:left;vertical-align:top}
.method{font-weight:700}.zh{color:#777}section{margin-bottom:2rem}
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
            "<meta name=viewport content='width=device-width'>"
        ),
        f"<title>Tillgate API</title><style>{STYLE}</style></head><body>",
        (
            f"<h1>Tillgate API v{escape(openapi['info']['version'])}</h1>"
            f"<p>{_text(openapi['info']['description'])}</p>"
        ),
        (
            "<p>The machine-readable form of this page <span class=zh>机器可读版本</span>: "
            "<a href='/openapi.json'>/openapi.json</a></p>"
        ),
        _contents(operations),
        _signing(openapi["components"]["securitySchemes"]["till_signature"]),
        "<h2 id=routes>Routes 接口</h2>",
        *(_operation(method, path, each, schemas) for method, path, each in operations),
        "<h2 id=schemas>Schemas 数据结构</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
        _errors(),
        "</body></html>",
    ]
    return "\n".join(parts)


def _contents(operations: list[tuple[str, str, Json]]) -> str:
    rows = [
        f"<tr><td class=method>{method.upper()}</td>"
        f"<td><a href='#{each['operationId']}'><code>{escape(path)}</code></a></td>"
        f"<td>{escape(each['summary'])}</td>"
        f"<td class=zh>{escape(each['description'].partition(chr(10))[0])}</td></tr>"
        for method, path, each in operations
    ]
    return f"<h2>Contents 目录</h2><table>{''.join(rows)}</table>"


def _signing(scheme: Json) -> str:
    vector: Json = scheme["x-test-vector"]
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(text)}</code></td></tr>"
        for name, text in vector.items()
    )
    return (
        f"<h2 id=signing>Signing requests 请求签名</h2><pre>{escape(scheme['description'])}</pre>"
        f"<p>Test vector <span class=zh>测试向量</span>: your code must give exactly this "
        f"<code>sig</code>.</p><table>{rows}</table>"
    )


def _operation(method: str, path: str, operation: Json, schemas: Json) -> str:
    zh, _, permission = operation["description"].partition("\n\n")
    parts = [
        (
            f"<section><h3 id='{operation['operationId']}'>"
            f"<span class=method>{method.upper()}</span> <code>{escape(path)}</code></h3>"
        ),
        (
            f"<p>{escape(operation['summary'])} <span class=zh>{escape(zh)}</span> "
            f"{_text(permission)}</p>"
        ),
        _parameters(operation["parameters"]),
        _body(operation.get("requestBody", {}), schemas),
        "<h4>Answers 应答</h4><table>",
        *(
            f"<tr><th>{status}</th><td>{_text(answer['description'])}</td>"
            f"<td>{_content(answer)}</td></tr>"
            for status, answer in operation["responses"].items()
        ),
        "</table></section>",
    ]
    return "".join(parts)


def _parameters(parameters: list[Json]) -> str:
    if not parameters:
        return ""
    rows = [
        f"<tr><td><code>{escape(each['name'])}</code></td>"
        f"<td>{each['in']}{', required' if each['required'] else ''}</td>"
        f"<td>{_shape(each['schema'])}</td>"
        f"<td>{_text(each.get('description') or each['schema'].get('description', ''))}</td></tr>"
        for each in parameters
    ]
    return f"<h4>Parameters 参数</h4><table>{''.join(rows)}</table>"


def _body(body: Json, schemas: Json) -> str:
    if not body:
        return ""
    schema = next(iter(body["content"].values()))["schema"]
    if "$ref" not in schema:
        return "<h4>Body 请求体</h4><p>As the channel sends it.</p>"
    name = schema["$ref"].rpartition("/")[2]
    example = msgspec.json.format(msgspec.json.encode(schemas[name]["examples"][0])).decode()
    return (
        f"<h4>Body 请求体</h4><p>{_shape(schema)}, for example <span class=zh>示例</span>:</p>"
        f"<pre>{escape(example)}</pre>"
    )


def _content(answer: Json) -> str:
    return ", ".join(
        f"{_shape(content['schema'])} <code>{escape(media)}</code>"
        for media, content in answer.get("content", {}).items()
    )


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        f"<tr><td><code>{escape(field)}</code></td>"
        f"<td>{'required' if field in required else ''}</td>"
        f"<td>{_shape(each)}</td><td>{_text(each.get('description', ''))}</td></tr>"
        for field, each in schema.get("properties", {}).items()
    ]
    about = _text(schema.get("description", ""))
    return (
        f"<section><h3 id='schema-{escape(name)}'>{escape(name)}</h3><p>{about}</p>"
        f"<table>{''.join(rows)}</table></section>"
    )


def _errors() -> str:
    rows = [
        f"<tr id='{error.code}'><td>{error.http_status}</td><td><code>{error.code}</code></td>"
        f"<td>{escape(error.title)}</td><td class=zh>{escape(error.zh)}</td></tr>"
        for error in sorted(documented(), key=lambda each: each.http_status)
    ]
    return f"<h2 id=errors>Errors 错误码</h2><table>{''.join(rows)}</table>"


def _shape(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_shape(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return (
            f"list of {_shape(schema['items'])}"
            if isinstance(schema.get("items"), dict)
            else "list"
        )
    words = [escape(str(schema.get("format") or schema.get("type") or "anything"))]
    words += [f"{label} {schema[name]}" for name, label in _BOUNDS.items() if name in schema]
    if "pattern" in schema:
        words.append(f"<code>{escape(schema['pattern'])}</code>")
    if "default" in schema:
        words.append(
            f"default <code>{escape(msgspec.json.encode(schema['default']).decode())}</code>"
        )
    return ", ".join(words)


_BOUNDS = {
    "minimum": "≥",
    "maximum": "≤",
    "minLength": "chars ≥",
    "maxLength": "chars ≤",
    "maxProperties": "entries ≤",
}


def _text(markdown: str) -> str:
    """Escaped text with `code` marked; nothing else of markdown is used."""
    parts = escape(markdown).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )

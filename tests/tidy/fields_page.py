"""docs/fields.md, made of the OpenAPI document: `python -m tests.tidy.fields_page` prints it."""

import sys
from typing import Any

from gateway.http.openapi import document
from gateway.http.routes import OPEN_ROUTES, ROUTES

Json = dict[str, Any]
HEAD = """# Fields 字段

<!-- Written by `python -m tests.tidy.fields_page`; a test compares it with the document. -->

What goes in and what comes out, in both languages. Types and bounds: `/openapi.json`. In a request
a field that is not required may be left out; in an answer every field is there, except where it
says "optional". Clients ignore fields that they do not know.

请求与应答的全部字段，中英对照。类型和范围见 `/openapi.json`。请求中非必填字段可以省略；
应答中除注明 optional 外所有字段都会出现。客户端请忽略不认识的字段。
"""


def fields_page() -> str:
    """Bodies first, then answers, each by name."""
    schemas = document(ROUTES, OPEN_ROUTES)["components"]["schemas"]
    bodies = {name: each for name, each in schemas.items() if name.endswith("Body")}
    answers = {name: each for name, each in schemas.items() if name not in bodies}
    parts = [HEAD]
    for title, named in (("Requests 请求", bodies), ("Answers 应答", answers)):
        parts.append(f"## {title}\n")
        parts += [_section(name, schema) for name, schema in sorted(named.items())]
    return "\n".join(parts).rstrip() + "\n"


def table(schema: Json, *, is_request: bool) -> str:
    """One line a field."""
    lines = ["| field | | meaning | 含义 |", "|---|---|---|---|"]
    for field, each in schema["properties"].items():
        required = field in schema["required"]
        note = ("required" if required else "") if is_request else ("" if required else "optional")
        en, zh = (_line(each[name]) for name in ("description", "x-description-zh"))
        lines.append(f"| `{field}` | {note} | {en} | {zh} |")
    return "\n".join(lines)


def _section(name: str, schema: Json) -> str:
    is_request = schema["additionalProperties"] is False
    if not schema["properties"]:
        return f"### {name}\n\n{schema['description']}\n"
    return f"### {name}\n\n{schema['description']}\n\n{table(schema, is_request=is_request)}\n"


def _line(text: str) -> str:
    """A list becomes one line."""
    return text.replace("\n\n- ", " ").replace("\n- ", "; ").replace("|", r"\|")


if __name__ == "__main__":
    sys.stdout.write(fields_page())

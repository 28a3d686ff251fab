"""The schemas of the OpenAPI document: what msgspec says of the structs, in the form that client
generators take.

Requests and answers differ. In a request an optional field may be left out, and neither null nor a
default is in its schema: generators make an obligation of a default, and a wrapper of a choice with
null. In an answer every field is there, and may be null where its type says so; fields that are
not described may come, so that clients ignore what they do not know. Integers have 64 bits: an
amount needs more than 32.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway.domain.change import EVENT_TYPES
from gateway.domain.states import ATTEMPT_STATES
from gateway.domain.verdicts import FAILURES, VERDICTS
from gateway.http.field_texts import text_of
from gateway.limits import AUTH_CODE_CHARS_MAX
from security.secret import Secret

Json = dict[str, Any]

REF: Final = "#/components/schemas/"
# Words that stand in tables of their own: word -> what it means, or nothing.
LISTED: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("Verdict", "code"): {each.code: f"{each.zh} · {each.en}" for each in VERDICTS.values()},
    ("FailureResource", "code"): {
        code.value: f"{zh} · {en}" for code, (zh, en) in FAILURES.items()
    },
    ("EventResource", "type"): dict.fromkeys(sorted(EVENT_TYPES), ""),
    ("DeliveryResource", "type"): dict.fromkeys(sorted(EVENT_TYPES), ""),
    ("AttemptResource", "status"): dict.fromkeys(ATTEMPT_STATES, ""),
}


def schemas_of(shapes: Iterable[type]) -> tuple[dict[type, Json], dict[str, Json]]:
    """References by struct, and the schemas they point to, by name."""
    asked = tuple(shapes)
    refs, found = msgspec.json.schema_components(
        asked, schema_hook=_schema_hook, ref_template=f"{REF}{{name}}"
    )
    sparse = {each.__name__ for each in _structs(asked) if each.__struct_config__.omit_defaults}
    enums = {name: schema for name, schema in found.items() if "enum" in schema}
    components = {
        name: _object(name, _spelt_out(schema, enums), leaves_out=name in sparse)
        for name, schema in found.items()
        if name not in enums
    }
    return dict(zip(asked, refs, strict=True)), components


def told(struct: str, field: str, default: Any = None) -> Json:
    """The field in both languages, with its default where it has one that is not null or empty."""
    text = text_of(struct, field)
    assert text is not None, f"{struct}.{field} has no text in field_texts.py"
    shown = f"`{msgspec.json.encode(default).decode()}`" if default not in _NOTHING else ""
    return {
        "description": text.en + (f" Default: {shown}." if shown else ""),
        "x-description-zh": text.zh + (f"默认 {shown}。" if shown else ""),
    }


def portable(schema: Json, *, nullable: bool) -> Json:
    """Without defaults and texts, and with null only where `nullable`."""
    if "anyOf" in schema:
        choices = [each for each in schema["anyOf"] if each != _NULL]
        assert len(choices) == 1, f"a choice of several shapes: {schema}"
        shape = portable(choices[0], nullable=nullable)
        if not nullable:
            return shape
        return {"anyOf": [shape, _NULL]} if "$ref" in shape else _or_null(shape)
    if schema == _NULL | {"default": None}:
        return {"type": ["object", "null"]}
    found = {name: each for name, each in schema.items() if name not in _LEFT_OUT}
    if "enum" in found:
        listed = {"type": "string", "enum": [each for each in found["enum"] if each is not None]}
        return _or_null(listed) if nullable and None in found["enum"] else listed
    if found.get("type") == "integer":
        found["format"] = "int64"
    if "pattern" in found:  # JSON Schema's `$` has no second meaning
        found["pattern"] = found["pattern"].replace(r"$(?!\n)", "$")
    for below in ("items", "additionalProperties", "propertyNames"):
        if isinstance(found.get(below), dict):
            found[below] = portable(found[below], nullable=nullable)
    return found


_NULL: Final = {"type": "null"}
_NOTHING: Final[tuple[Any, ...]] = (None, {}, [], "")
_LEFT_OUT: Final = {"default", "description"}


def _schema_hook(shape: type) -> Json:
    if shape is Secret:
        return {"type": "string", "minLength": 1, "maxLength": AUTH_CODE_CHARS_MAX}
    raise NotImplementedError(shape)


def _structs(shapes: Iterable[Any]) -> set[type[msgspec.Struct]]:
    """The structs that can be reached from these."""
    found: set[type[msgspec.Struct]] = set()
    waiting = list(msgspec.inspect.multi_type_info(shapes))
    while waiting:
        match waiting.pop():
            case msgspec.inspect.StructType(cls=struct, fields=fields) if struct not in found:
                found.add(struct)
                waiting += [field.type for field in fields]
            case msgspec.inspect.UnionType(types=types):
                waiting += types
            case msgspec.inspect.VarTupleType(item_type=item):
                waiting.append(item)
            case _:
                pass
    return found


def _object(name: str, schema: Json, *, leaves_out: bool) -> Json:
    """`leaves_out`: the answer has no field whose value is its default."""
    is_request = schema.get("additionalProperties") is False
    optional = is_request or leaves_out
    fields: dict[str, Json] = schema["properties"]
    return {
        "title": name,
        "description": " ".join(schema.get("description", "").split()),
        "type": "object",
        "properties": {
            field: _field(name, field, each, optional=optional) for field, each in fields.items()
        },
        "required": [
            field
            for field, each in fields.items()
            if field in schema["required"] or ("default" in each and not optional)
        ],
        "additionalProperties": not is_request,
    }


def _field(struct: str, field: str, schema: Json, *, optional: bool) -> Json:
    shape = portable(schema, nullable=not optional)
    text = told(struct, field, schema.get("default") if optional else None)
    words = LISTED.get((struct, field), {})
    if words:
        shape = {"type": "string", "enum": list(words)}
        lines = [f"\n- `{word}`: {meaning}" for word, meaning in words.items() if meaning]
        text = {name: f"{each}\n{''.join(lines)}".rstrip() for name, each in text.items()}
    return shape | text


def _spelt_out(value: Any, enums: dict[str, Json]) -> Any:
    """Enums stand where they are used: named ones become constants without a prefix in some
    languages, and two lists with a word in common do not compile.
    """
    if isinstance(value, list):
        return [_spelt_out(each, enums) for each in value]
    if not isinstance(value, dict):
        return value
    enum = enums.get(str(value.get("$ref", "")).removeprefix(REF))
    if enum is not None:
        return {"enum": enum["enum"]}
    return {name: _spelt_out(each, enums) for name, each in value.items()}


def _or_null(shape: Json) -> Json:
    words = {"enum": [*shape["enum"], None]} if "enum" in shape else {}
    return shape | {"type": [shape["type"], "null"]} | words

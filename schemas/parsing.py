"""Values as models of the configuration, and what is wrong with them in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from matlas.errors import ConfigError, nearest
from schemas.config.base import CLAIM_ID, NAME, SHA256, SPACE
from schemas.strict_yaml import read_yaml


def parse(model, value: object, where: object, above: tuple[str, ...] = ()):
    """`value` as `model`; `above` are the keys under which it stands in its file."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise _as_config_error(model, error, value, where, above) from error


def parse_each(model, path: Path) -> dict:
    values = read_yaml(path)
    for name in values:
        name_is_valid(name, path)
    return {name: parse(model, value, path, (name,)) for name, value in values.items()}


# what pydantic's error types expect, in words
_EXPECTED = {
    "string_type": "text", "list_type": "a list", "tuple_type": "a list", "dict_type": "a mapping",
    "model_type": "a mapping", "model_attributes_type": "a mapping",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number",
    "invalid_key": "a key that is text", "bool_type": "true or false", "bool_parsing": "true or false",
    NAME: "a lower-case letter, then lower-case letters, digits or _", SHA256: "64 hexadecimal digits",
    CLAIM_ID: "lower-case words joined by -", SPACE: "view/representation, as in magpie/pca10",
}  # fmt: skip


def _as_config_error(model, error: ValidationError, value: object, where: object, above: tuple) -> ConfigError:
    """The first problem in one sentence. Unknown keys come first, as they often cause the others; then the deepest,
    as a union (text or mapping) also complains about the alternative that wasn't meant."""
    problems = [{**p, "keys": _keys(model, p)} for p in error.errors()]
    problems.sort(key=lambda p: (p["type"] != "extra_forbidden", -len(p["keys"])))
    first = problems[0]
    key, given = _dotted(value, first["keys"], above), first["input"]
    others = {p["keys"] for p in problems if p["keys"] != first["keys"][: len(p["keys"])] and p["type"] != "missing"}
    more = f" ({len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        name = str(first["keys"][-1])
        valid = {f for m in _models_at(model, first["loc"][:-1]) for f in m.model_fields}
        return ConfigError(f"unknown key {key!r}", where=where, expected=nearest(name, valid), found=f"{name!r}{more}")
    if first["type"] in ("missing", "union_tag_not_found"):
        choices = _choices(model, first) if first["type"] == "union_tag_not_found" else ()
        expected = f"one of {sorted(choices)}" if choices else None
        return ConfigError(f"key {key!r} is missing{more}", where=where, expected=expected)
    if first["type"] == "union_tag_invalid":
        given = first["ctx"]["tag"]
    same = [p for p in problems if p["keys"] == first["keys"]]
    expected = " or ".join(dict.fromkeys(_expected(p) for p in same))
    shown = f"the keys {list(given)}" if isinstance(given, dict) else repr(given)
    shown = shown if len(shown) <= 120 else f"{shown[:120]}…"
    return ConfigError(f"bad value for {key!r}", where=where, expected=expected, found=f"{shown}{more}")


def _keys(model, problem: Mapping) -> tuple:
    """The configuration's own keys in a location; pydantic puts names of union members between them."""
    keys, _ = _followed(model, problem["loc"])
    tag = (problem["ctx"]["discriminator"].strip("'"),) if problem["type"].startswith("union_tag") else ()
    return keys + tag


def _holds(value: object, key: object) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value


def _dotted(value: object, keys: tuple, above: tuple[str, ...]) -> str:
    """Keys as `figures[zt_map].kind`; an item of a list by its name where it has one, else by its number."""
    text = ".".join(above)
    for key in keys:
        in_list, value = isinstance(value, list), value[key] if _holds(value, key) else None
        if in_list:
            named = value if isinstance(value, dict) else {}
            text += f"[{named.get('name') or named.get('id') or key}]"
        else:
            text += f".{key}" if text else str(key)
    return text


def _expected(problem: Mapping) -> str:
    if problem["type"] == "literal_error":
        valid = re.findall("'([^']*)'", problem["ctx"]["expected"])
        return nearest(str(problem["input"]), valid) if len(valid) > 4 else f"one of {valid}"
    if problem["type"] == "union_tag_invalid":
        return nearest(str(problem["ctx"]["tag"]), re.findall("'([^']*)'", problem["ctx"]["expected_tags"]))
    context = problem.get("ctx", {})
    if problem["type"] == "too_short":
        return f"at least {context['min_length']}"
    if problem["type"] == "too_long":
        return f"at most {context['max_length']}"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be ", "a value ")
    return _EXPECTED.get(context.get("pattern", problem["type"]), message)


def _choices(model, problem: Mapping) -> set[str]:
    """The values that may stand in the key that tells the members of a union apart."""
    key = problem["ctx"]["discriminator"].strip("'")
    return {c for m in _models_at(model, problem["loc"]) for c in get_args(m.model_fields[key].annotation)}


def _models_at(annotation, location: tuple) -> set[type[BaseModel]]:
    return _followed(annotation, location)[1]


def _followed(annotation, location: tuple) -> tuple[tuple, set[type[BaseModel]]]:
    """Along a location of pydantic's: the configuration's own keys, and the models that it points into."""
    members, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        return _followed(members[0], location)
    if origin in (Union, UnionType):
        members = [m for m in members if m is not type(None)]
        if location and len(members) > 1:  # the location names the member
            members, location = [m for m in members if _is_called(m, str(location[0]))], location[1:]
        found = [_followed(m, location) for m in members]
        return max((keys for keys, _ in found), key=len, default=()), {m for _, models in found for m in models}
    if not location:
        return (), {annotation} if _is_model(annotation) else set()
    if _is_model(annotation):
        field = annotation.model_fields.get(location[0])
        inside = field.annotation if field else None
    else:
        inside = members[-1] if origin in (dict, list, tuple) else None
        if inside is None or location[0] == "[key]":
            return (), set()
    keys, models = _followed(inside, location[1:])
    return (location[0], *keys), models


def _is_model(annotation) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_called(annotation, tag: str) -> bool:
    """Whether pydantic means this member of a union: by the name of its class (`function-after[…, Class]` for one with
    a validator), by the value that tells it apart, or as `tagged-union[…]` if it is a union itself."""
    models = _models_at(annotation, ())
    if tag.startswith("tagged-union["):
        return len(models) > 1
    literals = [get_args(f.annotation) for m in models for f in m.model_fields.values()]
    return any(tag == m.__name__ or tag.endswith(f", {m.__name__}]") for m in models) or any(tag in a for a in literals)


def known(name: str, valid: Iterable[str], what: str, where: object) -> None:
    if name not in valid:
        raise ConfigError(f"unknown {what}", where=where, expected=nearest(name, valid), found=repr(name))


def name_is_valid(name: object, where: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ConfigError("bad name", where=where, expected=_EXPECTED[NAME], found=repr(name))

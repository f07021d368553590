"""The CRD's bounds and CEL rules, evaluated from the CRD file itself.

Structure by jsonschema, rules by Google's CEL implementation, both over the very schema that the apiserver gets.
The words for structural faults are this module's own; the rules carry theirs in the CRD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from shardfleet_shard.errors import InvariantError

from .schema import PRESERVE, RULES, join, resource_schema

Fault = tuple[str, str]

# What to write instead, by the pattern that didn't match.
_HINTS = {
    "^[0-9]{1,7}(us|ms|s|m)$": "a duration such as 60ms, 3s or 500us",
    "^[0-9]{1,9}([.][0-9]{1,6})?$": 'a decimal in quotes such as "0.5"',
}
_TYPES = {
    "integer": "a whole number",
    "string": "text",
    "array": "a list",
    "object": "a group of fields",
}


def _is_whole(_: Any, value: Any) -> bool:
    """JSON's integers without 20.0 and True."""
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Python's $ also matches before a newline at the end, Go's doesn't."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield jsonschema.ValidationError("pattern")


_extend: Any = jsonschema.validators.extend
_Validator: Any = _extend(
    jsonschema.Draft202012Validator,
    validators={"pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole),
)


def structural_faults(resource: Mapping[str, Any]) -> list[Fault]:
    """Types, bounds, patterns and required fields of a whole resource with its defaults, by field path."""
    faults: list[Fault] = []
    for error in _Validator(resource_schema()).iter_errors(dict(resource)):
        path = ""
        for part in error.absolute_path:
            path = f"{path}[{part}]" if isinstance(part, int) else join(path, part)
        faults.extend(_faults_of(error, path))
    return faults


def _faults_of(error: jsonschema.ValidationError, path: str) -> Iterator[Fault]:
    bound: Any = error.validator_value
    value: Any = error.instance
    schema: Any = error.schema
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    match error.validator:
        case "required":
            name = next(n for n in bound if n not in value and repr(n) in error.message)
            yield join(path, name), "is required"
        case "type":
            example = next((h for p, h in _HINTS.items() if p == schema.get("pattern")), _TYPES[str(bound)])
            yield path, f"must be {example}, not {'nothing' if value is None else shown}"
        case "enum":
            yield path, f"must be {' or '.join(map(str, bound))}, not {shown}"
        case "pattern":
            hint = _HINTS.get(str(bound))
            yield path, f"{shown} is not {hint}" if hint else f"{shown} must match {bound}"
        case "minimum":
            yield path, f"must be at least {bound}, not {shown}"
        case "maximum":
            yield path, f"must be at most {bound}, not {shown}"
        case "minLength" if bound == 1:
            yield path, "must not be empty"
        case "maxLength":
            yield path, f"must have at most {bound} characters, not {len(value)}"
        case "minItems":
            yield path, f"must have at least {bound} entries, not {len(value)}"
        case "maxItems" | "maxProperties":
            yield path, f"must have at most {bound} entries, not {len(value)}"
        case _:
            yield path, error.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of x-kubernetes-validations. ``field`` is where its fault is shown, from the node it stands at."""

    text: str
    message: str
    field: str
    program: cel.Expression
    is_transition: bool
    """Compares with the object before a change; nothing to say about a new one."""


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])


@cache
def rules_at(where: tuple[str, ...]) -> tuple[Rule, ...]:
    """The compiled rules of the schema's node at ``where`` (names of properties from the root).

    Raises:
        InvariantError: a rule in the CRD doesn't compile.
    """
    schema = resource_schema()
    for name in where:
        schema = schema["properties"][name]
    rules = []
    for rule in schema.get(RULES, ()):
        try:
            program = _environment().compile(rule["rule"])
        except RuntimeError as error:
            raise InvariantError(
                f"CRD, {'.'.join(where)}: the rule {rule['rule']!r} doesn't compile: {error}"
            ) from error
        rules.append(
            Rule(
                text=rule["rule"],
                message=rule["message"],
                field=rule.get("fieldPath", "").lstrip("."),
                program=program,
                is_transition="oldSelf" in rule["rule"],
            )
        )
    return tuple(rules)


def rule_faults(resource: Mapping[str, Any], *, old: Mapping[str, Any] | None, broken: list[Fault]) -> list[Fault]:
    """Every CEL rule that ``resource`` (with its defaults) breaks.

    Args:
        old: the resource before the change, with its defaults; None for a new one: transition rules are passed over.
        broken: structural faults; rules about such a field or a group that holds one are passed over, since what
            they'd say would be nonsense.
    """
    paths = [path for path, _ in broken]
    return list(_rule_faults(resource, old, resource_schema(), (), paths))


def _rule_faults(
    value: Any, old: Any, schema: Mapping[str, Any], where: tuple[str, ...], broken: list[str]
) -> Iterator[Fault]:
    path = ".".join(where)
    for rule in rules_at(where) if schema.get(RULES) else ():
        if (rule.is_transition and old is None) or not _is_sound(rule, path, broken):
            continue
        data = {"self": _view(value, schema)}
        if rule.is_transition:
            data["oldSelf"] = _view(old, schema)
        result = rule.program.eval(data=data)
        if result.type() == cel.Type.ERROR:
            raise InvariantError(f"{path}: the rule {rule.text!r} failed: {result.value()}")
        if result.value() is not True:
            yield join(path, rule.field) if rule.field else path, rule.message
    if isinstance(value, Mapping):
        for name, known in schema.get("properties", {}).items():
            if name in value:
                before = old.get(name) if isinstance(old, Mapping) else None
                yield from _rule_faults(value[name], before, known, (*where, name), broken)


def _is_sound(rule: Rule, path: str, broken: list[str]) -> bool:
    """Whether nothing that the rule reads is broken already."""
    below = [p[len(path) :].lstrip(".") for p in broken if p == path or p.startswith((f"{path}.", f"{path}["))]
    if not path:
        below = list(broken)
    # A rule of a large group names its fields; one of a single value or list reads all of it.
    return not any(not b or b.startswith("[") or re.split(r"[.\[]", b)[0] in rule.text for b in below)


def _view(value: Any, schema: Mapping[str, Any]) -> Any:
    """What a rule may see: declared fields only, as the apiserver has it."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        if schema.get(PRESERVE):
            return {name: _view(value[name], properties[name]) for name in properties if name in value}
        return {name: _view(item, properties.get(name, {})) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_view(item, schema.get("items", {})) for item in value]
    return value

"""The CEL rules of a schema, evaluated without a cluster; what cannot be evaluated is said, never passed."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from celpy import Environment, celtypes
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from .findings import Path
from .structural import RULES, Problem, Schema, Spot

_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_OLD = re.compile(r"\boldSelf\b")
_NO_PATTERN = "match error"  # in the words of cel-python
_UNKNOWN = re.compile(r"undeclared reference to '(\w+)'")


def check(spots: Iterable[Spot]) -> list[Problem]:
    """Evaluate every rule at every spot, as at the creation of the object."""
    return [problem for spot in spots for rule in spot.schema[RULES] for problem in _evaluate(rule, spot)]


def is_transition(rule: str) -> bool:
    """Tell whether a rule compares with an older object; such a rule does not apply to a creation."""
    return _OLD.search(_TEXT.sub("''", rule)) is not None


def _evaluate(rule: Mapping[str, Any], spot: Spot) -> list[Problem]:
    text = str(rule["rule"]).strip()
    if is_transition(text):
        if rule.get("optionalOldSelf"):
            return [_unchecked(text, spot.path, "optionalOldSelf is not supported")]
        return []
    try:
        activation = {"self": to_cel(spot.value, spot.schema)}
        outcome = _program(text).evaluate(activation)
    except (CELEvalError, CELParseError, ValueError, TypeError, KeyError) as error:
        if error.args[:1] == (_NO_PATTERN,):
            # A rule that looks for what is no pattern fails on the API server as well, and so it refuses.
            return [Problem(spot.path, _sentence(str(rule.get("message") or text)))]
        return [_unchecked(text, spot.path, _why(error))]
    if not isinstance(outcome, celtypes.BoolType | bool):
        return [_unchecked(text, spot.path, "it did not give true or false")]
    if outcome:
        return []
    path = spot.path + _field_path(str(rule.get("fieldPath", "")))
    return [Problem(path, _sentence(_message(rule, activation)))]


def _message(rule: Mapping[str, Any], activation: Mapping[str, Any]) -> str:
    expression = rule.get("messageExpression")
    if expression:
        try:
            return str(_program(str(expression)).evaluate(dict(activation)))
        except (CELEvalError, CELParseError, ValueError, TypeError, KeyError):
            # The API server falls back to the plain message as well.
            pass
    return str(rule.get("message") or f"the rule {rule['rule']} does not hold")


def _unchecked(rule: str, path: Path, why: str) -> Problem:
    return Problem(
        path,
        f"the rule {rule} was not checked here: {why}.",
        "The API server checks it; try `kubectl apply --dry-run=server`.",
        note=True,
    )


def _why(error: Exception) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    unknown = _UNKNOWN.search(text)
    return f"cel-python does not know {unknown[1]}" if unknown else text.splitlines()[0][:120]


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _field_path(text: str) -> Path:
    return tuple(part for part in text.split(".") if part)


def _sum(items: Any) -> Any:
    """CEL's list sum, which Kubernetes has and cel-python lacks."""
    total = None
    for item in items:
        total = item if total is None else total + item
    return celtypes.IntType(0) if total is None else total


def _substring(text: Any, *bounds: Any) -> Any:
    """CEL's substring by characters; Kubernetes has it and cel-python lacks it."""
    start, end = int(bounds[0]), int(bounds[1]) if len(bounds) > 1 else len(text)
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"substring({start}, {end}) is out of range")
    return celtypes.StringType(str(text)[start:end])


def _is_sorted(items: Any) -> Any:
    """CEL's list isSorted, which Kubernetes has and cel-python lacks."""
    return celtypes.BoolType(all(a <= b for a, b in itertools.pairwise(items)))


_OURS: dict[str, Any] = {"sum": _sum, "substring": _substring, "isSorted": _is_sorted}


@functools.cache
def _environment() -> Environment:
    return Environment()


@functools.cache
def _program(rule: str) -> Any:
    environment = _environment()
    return environment.program(environment.compile(rule), functions=_OURS)


def to_cel(value: Any, schema: Schema) -> Any:
    """Give a value the CEL type which its schema declares, so that 1 of type number is a double."""
    kind = schema.get("type")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return celtypes.MapType(
            {
                celtypes.StringType(k): to_cel(v, properties.get(k, {}))
                for k, v in value.items()
                if v is not None
            }
        )
    if isinstance(value, list):
        return celtypes.ListType([to_cel(v, schema.get("items", {})) for v in value])
    if isinstance(value, str) and schema.get("format") == "date-time":
        return celtypes.TimestampType(value)
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return celtypes.DoubleType(value)
    if kind == "integer" and isinstance(value, float):
        return celtypes.IntType(int(value))
    return json_to_cel(value)

"""A manifest against the structural schema of its kind, as the API server judges it, with remedies."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .findings import Path

Schema = Mapping[str, Any]

RULES = "x-kubernetes-validations"
_PRESERVED = "x-kubernetes-preserve-unknown-fields"
_CHECKED = frozenset(
    {
        "type",
        "description",
        "default",
        "enum",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "required",
        "properties",
        "items",
        RULES,
        _PRESERVED,
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    }
)
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is wrong, or (as a note) one that was not checked."""

    path: Path
    message: str
    remedy: str = ""
    note: bool = False


@dataclass(frozen=True, slots=True)
class Spot:
    """A value, with its defaults filled in, at which rules of the schema stand."""

    path: Path
    value: Any
    schema: Schema


@dataclass(slots=True)
class Inspection:
    """What the walk over one manifest finds: problems, and the spots where CEL rules are to be evaluated."""

    problems: list[Problem] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)


def inspect(value: Mapping[str, Any], schema: Schema) -> Inspection:
    """Check a whole object; apiVersion, kind, metadata and status are not looked into."""
    walk = _Walk()
    walk.node(dict(value), schema, ())
    return walk.inspection


class _Walk:
    def __init__(self) -> None:
        self.inspection = Inspection()

    def node(self, value: Any, schema: Schema, path: Path) -> Any:
        """Check one value; gives it back with its defaults."""
        if self._refused(schema, path):
            return value
        before = len(self.inspection.problems)
        for keyword in sorted(set(schema) - _CHECKED):
            self._add(path, f"lint does not know the schema's {keyword}, so it was not checked.", note=True)
        if not _is(value, schema["type"]):
            self._add(path, *_wrong_type(value, schema))
            return value
        if isinstance(value, dict):
            value = self._object(value, schema, path)
        elif isinstance(value, list):
            value = self._list(value, schema, path)
        elif isinstance(value, str):
            self._string(value, schema, path)
        elif not isinstance(value, bool):
            self._number(value, schema, path)
        self._enum(value, schema, path)
        # A rule may trust the schema, so it is not asked about what is already wrong.
        if RULES in schema and not any(not p.note for p in self.inspection.problems[before:]):
            self.inspection.spots.append(Spot(path, value, schema))
        return value

    def _add(self, path: Path, message: str, remedy: str = "", *, note: bool = False) -> None:
        self.inspection.problems.append(Problem(path, message, remedy, note))

    def _refused(self, schema: Schema, path: Path) -> bool:
        """Say why a reserved field is refused; whatever type its value has is beside the point."""
        refusals = [r["message"] for r in schema.get(RULES, ()) if r["rule"].strip() == "false"]
        for message in refusals:
            self._add(path, f"{message}.")
        return bool(refusals)

    def _object(self, value: dict[str, Any], schema: Schema, path: Path) -> dict[str, Any]:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        # The API server drops nulls before it fills in defaults.
        given = {name: child for name, child in value.items() if child is not None}
        for name in schema.get("required", ()):
            if name not in given:
                about = _about(properties.get(name, {}))
                self._add(
                    (*path, name), "is required, and missing.", f"Add it{f': {about}' if about else '.'}"
                )
        out: dict[str, Any] = {}
        for name, child in given.items():
            if not path and name in ("apiVersion", "kind", "metadata", "status"):
                out[name] = child
            elif name in properties:
                out[name] = self.node(child, properties[name], (*path, name))
            elif schema.get(_PRESERVED) or "properties" not in schema:
                out[name] = child
            else:
                self._add((*path, name), "is not a field of this kind.", _nearest(name, properties))
        for name, inner in properties.items():
            if name not in given and "default" in inner and not (not path and name == "status"):
                # Only the default's own gaps are filled; a default is never a person's mistake.
                out[name] = self.node(copy.deepcopy(inner["default"]), inner, (*path, name))
        return out

    def _list(self, value: list[Any], schema: Schema, path: Path) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if len(value) < least:
            self._add(path, f"has {len(value)} entries, fewer than {least}.", _about(schema) or "Add some.")
        if most is not None and len(value) > most:
            self._add(path, f"has {len(value)} entries, more than {most}.", "Take some out.")
        items = schema.get("items")
        out = [self.node(v, items, (*path, i)) for i, v in enumerate(value)] if items is not None else value
        kind = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys", ())
        seen: dict[str, int] = {}
        for index, entry in enumerate(out):
            if kind == "set":
                identity = json.dumps(entry, sort_keys=True, default=str)
            elif kind == "map" and isinstance(entry, dict):
                identity = " ".join(str(entry.get(key)) for key in keys)
            else:
                continue
            if identity in seen:
                what = f"repeats entry {seen[identity]} ({identity})."
                self._add((*path, index), what, "Take one of them out, or rename it.")
            seen.setdefault(identity, index)
        return out

    def _string(self, value: str, schema: Schema, path: Path) -> None:
        about = _about(schema)
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if len(value) < least:
            self._add(path, f"{_shown(value)} is shorter than {least} characters.", about)
        elif most is not None and len(value) > most:
            self._add(path, f"is {len(value)} characters long, more than {most}.", "Shorten it.")
        pattern = schema.get("pattern")
        if pattern is not None and not _matches(pattern, value):
            self._add(path, f"{_shown(value)} does not match {pattern}.", about)

    def _number(self, value: float, schema: Schema, path: Path) -> None:
        least, most = schema.get("minimum"), schema.get("maximum")
        if least is not None and (value < least or (value == least and schema.get("exclusiveMinimum"))):
            bound = f"above {least:g}" if schema.get("exclusiveMinimum") else f"at least {least:g}"
            self._add(path, f"{value} must be {bound}.", _about(schema))
        if most is not None and (value > most or (value == most and schema.get("exclusiveMaximum"))):
            bound = f"below {most:g}" if schema.get("exclusiveMaximum") else f"at most {most:g}"
            self._add(path, f"{value} must be {bound}.", _about(schema))

    def _enum(self, value: Any, schema: Schema, path: Path) -> None:
        allowed = schema.get("enum")
        if allowed is None or value in allowed:
            return
        listed = ", ".join(str(a) for a in allowed)
        near = difflib.get_close_matches(str(value).lower(), [str(a).lower() for a in allowed], 1)
        meant = next((str(a) for a in allowed if near and str(a).lower() == near[0]), None)
        self._add(path, f"{_shown(value)} is not one of {listed}.", f"Did you mean {meant}?" if meant else "")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _wrong_type(value: Any, schema: Schema) -> tuple[str, str]:
    found = next(
        (name for name in ("boolean", "integer", "number", "string", "array", "object") if _is(value, name)),
        "null",
    )
    wanted = schema["type"]
    article = "an" if wanted[0] in "aeiou" else "a"
    quoted = "Put it in quotes." if wanted == "string" and found in ("integer", "number", "boolean") else ""
    return f"{_shown(value)} is of type {found}, but must be {article} {wanted}.", quoted or _about(schema)


def _nearest(name: str, properties: Mapping[str, Schema]) -> str:
    near = difflib.get_close_matches(name.replace("_", "").lower(), [p.lower() for p in properties], 1)
    meant = next((p for p in properties if near and p.lower() == near[0]), None)
    return f"Did you mean {meant}?" if meant else f"Known fields: {', '.join(sorted(properties))}."


def _matches(pattern: str, value: str) -> bool:
    # The API server's engine knows no $ before a last newline, and only ASCII classes.
    exact = pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
    return re.search(exact, value, re.ASCII) is not None


def _about(schema: Schema) -> str:
    text = str(schema.get("description", ""))
    return text if not text or text.endswith(".") else f"{text}."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

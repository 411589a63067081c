"""What a newer schema may not do to the objects and the programs that know the older one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
# What these say is how objects are merged, kept or filled in; another value is another meaning.
_MEANING = (
    "default",
    "format",
    "nullable",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
)


def breaking(old: Schema, new: Schema, path: str = "") -> Iterator[str]:
    """Name every change by which an object of the old schema may be refused, cut or read otherwise.

    Patterns and CEL rules cannot be compared by looking at them; a real API server judges those.
    """
    where = path or "the object"
    if any(rule["rule"] == "false" for rule in old.get("x-kubernetes-validations", ())):
        return  # the older one refused it whatever stood there, so no object has it
    if old.get("type") != new.get("type"):
        yield f"{where}: type {old.get('type')} became {new.get('type')}"
        return
    yield from _properties(old, new, path)
    yield from _bounds(old, new, where)
    for name in _MEANING:
        # A default that was not there before fills in what is absent, so readers see what they did not write.
        if old.get(name) != new.get(name):
            yield f"{where}: {name} {old.get(name)!r} became {new.get(name)!r}"
    for name, end in (("items", "[]"), ("additionalProperties", "{}")):
        if name in old:
            yield from breaking(old[name], new.get(name, {}), f"{path}{end}")


def _properties(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, child in before.items():
        if name in after:
            yield from breaking(child, after[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: removed"
    for name in new.get("required", ()):
        if name not in old.get("required", ()):
            yield f"{path}.{name}: required now"


def _bounds(old: Schema, new: Schema, where: str) -> Iterator[str]:
    if "enum" in new:
        gone = [v for v in old.get("enum", ()) if v not in new["enum"]]
        if gone or "enum" not in old:
            yield f"{where}: only {new['enum']} are taken now, without {gone or 'all others'}"
    for name in (*_LOWER, *_UPPER):
        if name not in new or old.get(name) == new[name]:
            continue
        narrower = name not in old or (new[name] > old[name] if name in _LOWER else new[name] < old[name])
        if narrower:
            yield f"{where}: {name} {old.get(name)} became {new[name]}"

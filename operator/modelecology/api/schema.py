"""From a pydantic model to the structural schema that Kubernetes asks of a CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from .meta import render_decimal, render_duration

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"
_REF = "#/$defs/"
_INT32 = 2**31 - 1
# Kubernetes prunes fields it does not know and refuses this keyword beside `properties`.
_DROPPED = frozenset({"title", "additionalProperties", "$defs"})
_KEPT = frozenset(
    {
        "type",
        "description",
        "enum",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "default",
        "properties",
        "items",
    }
)


class NotStructural(ValueError):
    """A model uses something that a Kubernetes schema cannot say."""


class _Generator(GenerateJsonSchema):
    """Writes defaults in the API's own form instead of ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return render_duration(dft)
        if isinstance(dft, Decimal):
            return render_decimal(dft)
        return super().encode_default(dft)


def structural(model: type[BaseModel], *, defaults: bool) -> Schema:
    """Render a model as a structural schema, with its CEL rules.

    Defaults belong to what people write. What the operator writes is rendered without them, so that the
    object which comes back from the API server is the one that was sent.

    Raises NotStructural where the model cannot be said in a structural schema.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions: Mapping[str, Schema] = raw.get("$defs", {})
    return _Renderer(definitions, defaults).node(raw, model.__name__)


def rules(model: type[BaseModel]) -> list[dict[str, str]]:
    """Give the CEL rules that stand on the model itself."""
    extra = model.model_config.get("json_schema_extra")
    found = extra.get(_RULES, []) if isinstance(extra, dict) else []
    return [dict(rule) for rule in found]  # type: ignore[arg-type, union-attr]  # validated() wrote this list


class _Renderer:
    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def node(self, raw: Schema, path: str) -> Schema:
        """Render one schema; the path names it in errors."""
        flat = self._flat(raw, path)
        if "const" in flat:
            flat["enum"] = [flat.pop("const")]
        unknown = {
            k for k in flat if k not in _KEPT and k not in _DROPPED and not k.startswith("x-kubernetes-")
        }
        if unknown:
            raise NotStructural(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
        if not isinstance(flat.get("type"), str):
            raise NotStructural(f"{path}: a structural schema needs one type")
        out = {k: v for k, v in flat.items() if k not in _DROPPED}
        values = flat.get("additionalProperties")
        if isinstance(values, dict) and "x-kubernetes-preserve-unknown-fields" not in flat:
            if values.get("type") != "string":
                raise NotStructural(f"{path}: a map holds strings only; use a list keyed by name")
            out["additionalProperties"] = self.node(values, f"{path}{{}}")
        _bound(out)
        if "properties" in out:
            out["properties"] = {
                name: self.node(child, f"{path}.{name}") for name, child in out["properties"].items()
            }
        if "items" in out:
            out["items"] = self.node(out["items"], f"{path}[]")
        self._default(out)
        return out

    def _flat(self, raw: Schema, path: str) -> Schema:
        """Put references in, and take the branch of null out."""
        flat = dict(raw)
        branches = flat.pop("anyOf", None)
        if branches is not None:
            solid = [branch for branch in branches if branch.get("type") != "null"]
            if len(solid) != 1:
                raise NotStructural(f"{path}: a structural schema has no alternatives of type")
            return _merged(self._flat(solid[0], path), flat)
        reference = flat.pop("$ref", None)
        if reference is not None:
            return _merged(self._flat(self._definitions[reference.removeprefix(_REF)], path), flat)
        return flat

    def _default(self, out: Schema) -> None:
        if "default" not in out:
            return
        default = _without_nulls(out.pop("default"))
        if not self._defaults or default is None or default == []:
            return
        # Kubernetes fills a default's own gaps from the fields inside, so nothing is said twice.
        out["default"] = _beyond(default, out) if isinstance(default, dict) else default


def _merged(below: Schema, above: Schema) -> Schema:
    """Lay what a field says over what its type says; rules of both hold."""
    merged = below | above
    found = [*below.get(_RULES, ()), *above.get(_RULES, ())]
    return merged | {_RULES: found} if found else merged


def _bound(out: Schema) -> None:
    """Write numbers as OpenAPI 3.0 does: exclusive bounds are flags, integers have a width."""
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in out:
            out[plain] = out.pop(exclusive)
            out[exclusive] = True
    if out["type"] == "integer" and "format" not in out:
        widest = max(abs(out.get("minimum", 0)), abs(out.get("maximum", _INT32 + 1)))
        out["format"] = "int32" if widest <= _INT32 else "int64"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def _beyond(default: Schema, schema: Schema) -> Schema:
    """Keep of an object's default what its fields would not fill in by themselves."""
    properties = schema.get("properties", {})
    kept: Schema = {}
    for name, value in default.items():
        field = properties.get(name, {})
        if isinstance(value, dict):
            rest = _beyond(value, field)
            if rest or "default" not in field:
                kept[name] = rest
        elif field.get("default") != value and value != []:
            kept[name] = value
    return kept

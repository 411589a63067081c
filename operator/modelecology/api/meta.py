"""What all kinds share: the base model, object metadata, conditions and the scalar types of the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

GROUP = "modelecology.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# On an object that a rebuild has put in the place of an earlier one of the same name: <name>/<earlier uid>.
LOG_UID_ANNOTATION = "modelecology.io/log-uid"

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
# A served name is <name>-<12 hex>; a decision is <population>-<12 digits>. Both must fit a label value (63).
NAME_LIMIT = 50

Rule = dict[str, str]


def cel(rule: str, message: str, field_path: str | None = None) -> Rule:
    """Describe one CEL rule of a schema (Kubernetes `x-kubernetes-validations`)."""
    entry = {"rule": rule, "message": message}
    if field_path is not None:
        entry["fieldPath"] = field_path
    return entry


def validated(*rules: Rule, **extra: Any) -> dict[str, Any]:
    """Give the `json_schema_extra` which carries CEL rules into the rendered schema."""
    return {"x-kubernetes-validations": list(rules), **extra}


# Kubernetes lets a rule see the name and nothing else of an object's metadata, and only at its root.
NAME_RULES = (
    cel(
        f"self.metadata.name.size() <= {NAME_LIMIT}",
        f"metadata.name takes {NAME_LIMIT} characters at most, because names of 63 are made from it",
        ".metadata.name",
    ),
    cel(
        "!self.metadata.name.contains('.')",
        "metadata.name takes no dot, because served names and label values are made from it",
        ".metadata.name",
    ),
)

ANYTHING: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def reserved(field: str, instead: str, shape: dict[str, Any] | None = None) -> Any:
    """Declare a field which users know from the design but which this version refuses.

    The shape is the one the design gives the field, so that whoever writes it reads the refusal and no type
    error.
    """
    message = f"{field} is not implemented in this version; {instead}"
    return Field(
        default=None,
        description=f"Refused: {message}",
        json_schema_extra=validated(cel("false", message), **(shape or ANYTHING)),
    )


class Model(BaseModel):
    """The base of every part of a spec: frozen, camelCase outside, nothing unknown accepted."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
    )


class StatusModel(Model):
    """The base of what the operator writes; unknown fields of a newer version are left alone."""

    model_config = ConfigDict(extra="ignore")


_DECIMALS = 12
_DURATION_PART = re.compile(r"(\d+)([hms])")
_UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1}


def _parse_duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(n + u for n, u in parts) != value:
        raise ValueError(f"{value!r} is not a duration such as 90s, 30m or 720h")
    return timedelta(seconds=sum(int(n) * _UNIT_SECONDS[u] for n, u in parts))


def render_duration(value: timedelta) -> str:
    """Write a duration in the API's form, with the largest unit that needs no fraction."""
    seconds = int(value.total_seconds())
    for unit in ("h", "m"):
        if seconds and seconds % _UNIT_SECONDS[unit] == 0:
            return f"{seconds // _UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"


def _parse_decimal(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("write it as a string, so that no digit is lost")
    try:
        number = Decimal(value) if isinstance(value, str) else value
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is not a decimal number") from error
    if isinstance(number, Decimal) and not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number


def render_decimal(value: Decimal) -> str:
    """Write a decimal without an exponent or trailing zeros, to the 12 decimals that the kinds take."""
    text = format(round(value, _DECIMALS).normalize(), "f")
    return "0" if text == "-0" else text


def _render_time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Six digits of hours stay below the 292 years that a Kubernetes duration can hold.
_DURATION = {"type": "string", "pattern": r"^([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?$", "maxLength": 32}
Duration = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    PlainSerializer(render_duration, return_type=str),
    WithJsonSchema(
        _DURATION
        | validated(
            cel(
                "self.matches('^([0-9]+[hms])+$') && duration(self) > duration('0s')",
                "takes a duration above 0, such as 90s, 30m or 720h",
            )
        )
    ),
]
DurationOrZero = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    PlainSerializer(render_duration, return_type=str),
    WithJsonSchema(
        _DURATION
        | validated(cel("self.matches('^([0-9]+[hms])+$')", "takes a duration, such as 0s, 90s, 30m or 720h"))
    ),
]
Money = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    PlainSerializer(render_decimal, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$", "maxLength": 32},
    ),
]
Amount = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    Field(ge=0),
    PlainSerializer(render_decimal, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,12})?$", "maxLength": 32}),
]
Rate = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    PlainSerializer(render_decimal, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?$", "maxLength": 32}
        | validated(
            cel(
                "double(self) > 0.0 && double(self) <= 1.0",
                'takes a decimal above 0 and up to 1 as a string, such as "1e-3"',
            )
        ),
    ),
]
Timestamp = Annotated[
    datetime,
    PlainSerializer(_render_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Label = Annotated[str, Field(pattern=LABEL, min_length=1, max_length=NAME_LIMIT)]
# A path must not leave the store's root or the volume that an administrator has mounted.
NO_WAY_UP = cel("!self.matches('/[.][.](/|$)')", "takes no '..' in its path")
FileUri = Annotated[
    str,
    Field(
        pattern=r"^(file|store):///\S+$",
        max_length=1024,
        json_schema_extra=validated(NO_WAY_UP),
    ),
]


class NameRef(Model):
    """A reference by name, in the same namespace."""

    name: Label = Field(description="Name of the object, in the same namespace.")


class DataRef(Model):
    """One file of data, sealed by its digest."""

    uri: FileUri = Field(
        description="Where the file lies: file:///absolute, or store:///relative to the population's store."
    )
    digest: Digest = Field(description="sha256 of the file's bytes, as sha256:<64 hex>.")


class OwnerReference(StatusModel):
    """A Kubernetes owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(StatusModel):
    """The part of Kubernetes object metadata that the operator reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)

    @property
    def log_uid(self) -> str:
        """The uid by which the log knows the object: its own, unless a rebuild put it in another's place."""
        name, _, uid = self.annotations.get(LOG_UID_ANNOTATION, "").partition("/")
        # A copy of the manifest under another name is another object.
        return uid if uid and name == self.name else self.uid


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """The conditions that the operator keeps."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    RETIREMENT_PROPOSED = "RetirementProposed"
    DRIFT = "Drift"
    SUITE_EXHAUSTED = "SuiteExhausted"
    MATCH_REFUSED = "MatchRefused"
    PINNED = "Pinned"


class Condition(StatusModel):
    """A standard Kubernetes condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Name of the condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(default=0, ge=0, description="The generation this was observed at.")
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    reason: Annotated[str, Field(max_length=1024)] = Field(description="A constant; see docs/reasons.md.")
    message: Annotated[str, Field(max_length=4096)] = Field(description="What happened and what to do.")


# A list-map by type, so that several writers can apply conditions side by side.
CONDITIONS = Field(
    default=(),
    max_length=8,
    description="Standard conditions.",
    json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
)

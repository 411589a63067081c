"""RoutingTable: where a gateway sends the requests of one population, written by the operator.

It is one JSON object in the ConfigMap `<population>-routes`, key `table.json`. It is whole: a gateway never
puts two of them together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from .matching import Name, Wanted, pattern_fault
from .meta import Label, Model
from .quantities import Endpoint
from .vocabulary import MatchBy

TABLE_KEY = "table.json"
MAX_TABLE_BYTES = 768 * 1024
"""A ConfigMap takes 1 MiB in all; a table above this is refused."""

Revision = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
BaseName = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", min_length=1, max_length=256)]


class TableUnreadable(ValueError):
    """A text is no routing table. Reading it again does not help; the writer must mend it."""

    retry = False


class Fallback(StrEnum):
    """What answers where no specialist may."""

    GENERALIST = "Generalist"
    ERROR = "Error"


class Isolation(StrEnum):
    """What becomes of requests that run on a revision when it is quarantined."""

    FINISH = "Finish"
    CANCEL = "Cancel"


class RouteReason(StrEnum):
    """Why a request went where it went: the same string in the answer's header, the metrics and the docs."""

    LIVE = "Live"
    CANARY = "Canary"
    PINNED = "Pinned"
    GENERALIST_ASKED = "GeneralistAsked"
    NO_RULE_MATCHED = "NoRuleMatched"
    NOTHING_SIMILAR = "NothingSimilar"
    CLASSIFIER_UNPROVEN = "ClassifierUnproven"
    CLASSIFIER_AWAY = "ClassifierAway"
    UNKNOWN_MODEL = "UnknownModel"
    NO_LIVE_REVISION = "NoLiveRevision"
    QUARANTINED = "Quarantined"
    NOT_RESIDENT = "NotResident"
    WRONG_MODEL_ANSWERED = "WrongModelAnswered"


class ShadowRoute(Model):
    """A revision which gets copies of a task's requests and answers no user."""

    revision: Revision = Field(description="Its served name.")
    share: float = Field(gt=0, le=1, description="Share of the task's requests that are copied.")


class CanaryRoute(Model):
    """A revision which answers a part of a task's users."""

    revision: Revision = Field(description="Its served name.")
    percent: int = Field(ge=0, le=100, description="Percent of the task's users, by a hash of each.")


class TaskRoute(Model):
    """How one task is served."""

    task: Label = Field(description="The task; also a name by which clients ask.")
    specialist: Label | None = Field(
        default=None, description="The specialist that serves it: a stable name by which clients ask."
    )
    live: Revision | None = Field(
        default=None, description="Served name of the live revision; the fallback serves if it is left out."
    )
    shadow: ShadowRoute | None = Field(default=None, description="The revision on trial out of users' sight.")
    canary: CanaryRoute | None = Field(
        default=None, description="The revision on trial with a part of the users."
    )
    pinned: Annotated[tuple[Revision, ...], Field(max_length=16)] = Field(
        default=(), description="Served names that clients may ask for in full, beside the live one."
    )


class MatchRule(Model):
    """Sends a request for the population to a task. The first rule that matches wins."""

    task: Label = Field(description="Where to.")
    by: MatchBy = Field(description="What it looks at.")
    name: Name | None = Field(
        default=None, description="Name of the header or of the metadata's key; else left out."
    )
    value: Wanted = Field(
        description="Header, Metadata: the whole value. Keyword: a word or phrase, in any case. Regex: a "
        "pattern in the syntax of RE2, found anywhere. Example: a request that means much the same; the "
        "classifier holds all of them beside what no other rule matches."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.name is None) == (self.by in (MatchBy.HEADER, MatchBy.METADATA)):
            raise ValueError("name belongs to Header and Metadata, and to no other")
        fault = pattern_fault(self.value) if self.by is MatchBy.REGEX else None
        if fault is not None:
            raise ValueError(f"value is no pattern of RE2's syntax: {fault}")
        return self


class ClassifierRoute(Model):
    """Who says which example a request is most like, and for which tasks its word routes."""

    endpoint: Endpoint = Field(description="Where it answers, by OpenAI's API for embeddings.")
    model: BaseName = Field(description="The model that is asked.")
    minimum_similarity: float = Field(
        ge=-1, le=1, description="Cosine below which a request is like no example."
    )
    sample: float = Field(
        gt=0, le=1, description="Share of the requests of known tasks by which it is checked."
    )
    tasks: Annotated[tuple[Label, ...], Field(max_length=256)] = Field(
        default=(), description="The tasks of which it is proven to be right: it sends requests to no other."
    )


class RoutingTable(Model):
    """A RoutingTable says where the requests of one population go, as of one decision of its log."""

    api_version: Literal["modelecology.io/v1alpha1"] = Field(
        default="modelecology.io/v1alpha1", description="Version of this form."
    )
    kind: Literal["RoutingTable"] = Field(default="RoutingTable", description="What this is.")
    version: int = Field(ge=0, le=999_999_999_999, description="Sequence of the newest decision in it.")
    namespace: Label = Field(description="Namespace of the population.")
    population: Label = Field(
        description="Name of the population; also the name by which clients ask for it."
    )
    uid: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Uid of the Population: versions are compared only where it is the same."
    )
    fallback: Fallback = Field(
        default=Fallback.GENERALIST, description="What answers where no specialist may."
    )
    isolate: Isolation = Field(
        default=Isolation.FINISH, description="What becomes of running requests of a quarantined revision."
    )
    generalist: BaseName = Field(description="Name under which the engines serve the base model.")
    engines: Annotated[tuple[Endpoint, ...], Field(max_length=64)] = Field(
        description="Base addresses of the engines, one per replica; none while no pod of theirs is ready."
    )
    routes: Annotated[tuple[TaskRoute, ...], Field(max_length=256)] = Field(
        default=(), description="One for each task."
    )
    rules: Annotated[tuple[MatchRule, ...], Field(max_length=256)] = Field(
        default=(), description="In order; for requests that name the population."
    )
    classifier: ClassifierRoute | None = Field(
        default=None, description="What rules by Example are asked of; they need it."
    )
    recorded: float | None = Field(
        default=None, gt=0, le=1, description="Share of live revisions' answers that are written down."
    )
    quarantined: Annotated[tuple[Revision, ...], Field(max_length=1024)] = Field(
        default=(), description="Served names which no request goes to, whatever else this table says."
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        tasks = [route.task for route in self.routes]
        if len(set(tasks)) < len(tasks):
            raise ValueError("routes names a task twice; keep one route for each")
        names = [route.specialist for route in self.routes if route.specialist is not None]
        if len(set(names)) < len(names):
            raise ValueError("routes names a specialist twice; keep one route for each")
        if self.classifier is None and any(rule.by is MatchBy.EXAMPLE for rule in self.rules):
            raise ValueError("rules by Example need a classifier; give it, or leave them out")
        return self

    def canonical(self) -> bytes:
        """The bytes that equal tables share: sorted keys, no spaces, nothing that is left out."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    def digest(self) -> str:
        """Digest of the canonical bytes, as sha256:<64 hex>."""
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()


def read_table(text: str | bytes) -> RoutingTable:
    """Read a table from JSON. Raises TableUnreadable, which names the field at fault."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_TABLE_BYTES:
        raise TableUnreadable(f"the table has {size} bytes; {MAX_TABLE_BYTES} are the most")
    try:
        return RoutingTable.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise TableUnreadable(f"{field or 'the table'}: {first['msg']}") from error


def classifier_mark(classifier: ClassifierRoute, rules: Iterable[MatchRule]) -> str:
    """Name what a classifier's answers rest on, 16 hex digits: endpoint, model, minimum and all examples.

    What was measured of it counts as long as this is the same.
    """
    examples = sorted({(rule.task, rule.value) for rule in rules if rule.by is MatchBy.EXAMPLE})
    plain = [classifier.endpoint, classifier.model, classifier.minimum_similarity, examples]
    return hashlib.sha256(json.dumps(plain, separators=(",", ":")).encode()).hexdigest()[:16]


def routes_name(population: str) -> str:
    """Name the ConfigMap that holds a population's table."""
    return f"{population}-routes"

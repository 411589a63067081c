"""contract.match of a Specialist: by what a request for the population is known to be of its task.

The shape is that of the Gateway API's HTTPRouteMatch where it has one: a header by name and whole value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic_core import SchemaError, SchemaValidator, core_schema

from .meta import Model, cel, validated

MOST_RULES = 16

Name = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=64)]
Wanted = Annotated[str, Field(min_length=1, max_length=256)]
Phrase = Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=256)]
# A pattern that the API server's RE2 cannot read makes the rule fail. Gateways have another RE2.
Pattern = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        json_schema_extra=validated(
            cel(
                "!''.matches(self)",
                "takes a pattern in the syntax of RE2, and none that the empty text matches, as then every "
                "request would",
            )
        ),
    ),
]


class HeaderMatch(Model):
    """A header of the request."""

    name: Name = Field(description="Name of the header, in any case.")
    value: Wanted = Field(description="Its whole value.")


class MetadataMatch(Model):
    """An entry of the request's metadata, as OpenAI's API has it."""

    key: Name = Field(description="Key of the entry.")
    value: Wanted = Field(description="Its whole value.")


class Match(Model):
    """What a request must have: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "[has(self.header), has(self.metadata), has(self.keyword), has(self.regex), "
                "has(self.example)].filter(x, x).size() == 1",
                "a rule takes exactly one of header, metadata, keyword, regex and example; write a rule for "
                "each",
            )
        )
    )

    header: HeaderMatch | None = Field(default=None, description="A header with this value.")
    metadata: MetadataMatch | None = Field(default=None, description="An entry of metadata with this value.")
    keyword: Phrase | None = Field(
        default=None, description="A word or a phrase in the last user message or the prompt, in any case."
    )
    regex: Pattern | None = Field(
        default=None,
        description="A pattern in the syntax of RE2, found anywhere in the last user message or the prompt.",
    )
    example: Wanted | None = Field(
        default=None,
        description="A request as users write it. One that means much the same is of this task, where no "
        "other rule of any Specialist matches. Needs the Population's serving.gateway.classifier.",
    )


@lru_cache(maxsize=1024)
def pattern_fault(pattern: str) -> str | None:
    """Say why gateways cannot use a pattern; None where they can."""
    try:
        # Eight times over, so that none is large once compiled: every gateway holds all of them.
        SchemaValidator(core_schema.str_schema(pattern=f"(?:{pattern}){{8}}"))
    except SchemaError as error:
        return str(error).splitlines()[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ")
    return None

"""The strings of specs that more than one kind writes: amounts of resources, addresses, names of Secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .meta import NO_WAY_UP, Model, cel, validated

Cpu = Annotated[
    str,
    Field(
        pattern=r"^([0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m)$",
        max_length=20,
        json_schema_extra=validated(
            cel("self.matches('[1-9]')", "takes CPUs above 0, such as 2, 0.5 or 500m")
        ),
    ),
]
Memory = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti)?$",
        max_length=20,
        json_schema_extra=validated(
            cel("self.matches('[1-9]')", "takes bytes above 0, such as 4Gi, with Ki, Mi, Gi, Ti or none")
        ),
    ),
]
# No path, and no user or password: whoever may read a Population would read them.
Endpoint = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s/@?#]+$",
        max_length=256,
        json_schema_extra=validated(
            cel(
                "self.matches('^https?://[^/@?#]+$')",
                "takes http://host:port or https://host:port, with no path, user, query or slash at the end",
            )
        ),
    ),
]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=63)]
ImageName = Annotated[str, Field(pattern=r"^[^\s]+$", max_length=512)]
LabelValue = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$", max_length=63)]
AbsolutePath = Annotated[
    str, Field(pattern=r"^/[-._/a-zA-Z0-9]+$", max_length=512, json_schema_extra=validated(NO_WAY_UP))
]
ServedName = Annotated[str, Field(max_length=256)]


def bytes_of(memory: str) -> int:
    """Read an amount of memory as bytes, such as 4Gi."""
    powers = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
    unit = powers.get(memory[-2:])
    return int(float(memory[:-2]) * 2**unit) if unit else int(float(memory))


class SecretRef(Model):
    """A Secret that pods are given; the operator never reads it through the API."""

    name: SecretName = Field(description="Name of the Secret.")


class SecretKeyRef(Model):
    """One key of a Secret, which is mounted into the operator's pod and never read through the API."""

    name: SecretName = Field(description="Name of the Secret.")
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=63)] = Field(
        default="token", description="Key in the Secret."
    )

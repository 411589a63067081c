"""Where a population keeps adapters and results."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from .meta import NO_WAY_UP, Model, cel, validated
from .quantities import Endpoint, SecretRef


class S3(Model):
    """How an s3:// store is reached."""

    endpoint: Endpoint | None = Field(
        default=None, description="Address of an S3-compatible service; that of AWS if it is left out."
    )
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        default="us-east-1", description="Region of the bucket."
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="A Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which pods are "
        "given. Without it they use the identity of their service account.",
    )


class Store(Model):
    """The content-addressed store of adapters and results."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.s3) || self.uri.startsWith('s3://')",
                "store.s3 belongs to an s3:// uri; leave it out",
                ".s3",
            )
        )
    )

    uri: Annotated[
        str,
        Field(
            pattern=r"^(file:///[^\s?#%]+|s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-._a-zA-Z0-9]+)*)$",
            max_length=1024,
            json_schema_extra=validated(NO_WAY_UP),
        ),
    ] = Field(
        description="Root of the store: file:///absolute on a volume that the operator, the jobs and the "
        "engines all mount, or s3://bucket/prefix."
    )
    s3: S3 | None = Field(default=None, description="How an s3:// store is reached.")

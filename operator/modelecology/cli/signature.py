"""How a person acts: an annotation that says who asks, when, and about which revision."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.vocabulary import Target

from .port import Cluster


def sign(
    cluster: Cluster,
    name: str,
    annotation: str,
    now: datetime,
    *,
    revision: str = "",
    why: str = "",
    target: Target | None = None,
) -> str:
    """Set an annotation of a specialist to `[<revision>/]<user>@<time>[ <why>]`; gives the user.

    The revision is named, so that the word never carries over to another one. `target` is its new
    lifecycle.target, in the same write.
    """
    user = cluster.user()
    about = f"{revision}/" if revision else ""
    cluster.annotate(name, annotation, f"{about}{user}@{now:%Y-%m-%dT%H:%M:%SZ} {why}".rstrip(), target)
    return user

"""The options that every command takes, before or after its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from .access import Access
from .cluster import connect
from .port import Cluster
from .screen import Output, Screen

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; the kubeconfig context's own if left out.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None,
    typer.Option("--kubeconfig", help="Path of the kubeconfig; KUBECONFIG or ~/.kube/config if left out."),
]
Hints = Annotated[
    bool | None,
    typer.Option("--hints/--no-hints", help="Say what to do next; on a terminal this is the default."),
]
StoreUri = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Where the store can be read from here, as file:///path or s3://bucket/prefix; the population's "
        "store.uri if left out.",
    ),
]
OutputForm = Annotated[Output, typer.Option("--output", "-o", help="How the result is written.")]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options before the command say."""

    access: Access
    hints: bool | None


@dataclass(frozen=True, slots=True)
class Session:
    """One command's screen and cluster."""

    screen: Screen
    cluster: Cluster


def settings(ctx: typer.Context, given: Settings) -> Settings:
    """Lay a command's own options over those before it."""
    before = ctx.obj if isinstance(ctx.obj, Settings) else Settings(Access(), None)
    access = Access(
        given.access.kubeconfig or before.access.kubeconfig,
        given.access.context or before.access.context,
        given.access.namespace or before.access.namespace,
    )
    return Settings(access, before.hints if given.hints is None else given.hints)


def open_session(
    ctx: typer.Context, namespace: str | None, context: str | None, kubeconfig: str | None, hints: bool | None
) -> Session:
    """Open the screen and the cluster that the options name; raises `ClusterError`."""
    chosen = settings(ctx, Settings(Access(kubeconfig, context, namespace), hints))
    return Session(Screen(chosen.hints), connect(chosen.access))

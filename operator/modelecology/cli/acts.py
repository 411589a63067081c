"""What people ask of one specialist, and nothing but its name: each ends as a Decision that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from .approve import approve
from .isolate import release
from .options import Context, Hints, Kubeconfig, Namespace, open_session
from .port import Cluster
from .promote import promote
from .retire import restore, retire, undo
from .retry import request_retry

_FOLLOW = "kubectl ecology status --watch, then kubectl ecology explain {name}."


@dataclass(frozen=True, slots=True)
class Act:
    """One command: what it does, in short and in full, and what comes next."""

    name: str
    short: str
    help: str
    do: Callable[[Cluster, str, datetime], str]
    next: str = _FOLLOW


ACTS = (
    Act(
        "retry",
        "Ask for another try of a specialist.",
        "Ask the operator to take a stopped specialist up again; its Decision will name you.",
        request_retry,
    ),
    Act(
        "approve",
        "Let a specialist go live that waits for a person.",
        "Let the revision go live that waits for a person; its Decision will name you.",
        approve,
    ),
    Act(
        "promote",
        "End the step that a canary is in.",
        "Let a canary go a step on before the step's time and number are full. It overrides no evidence; its "
        "Decision will name you.",
        promote,
    ),
    Act(
        "retire",
        "Retire a specialist, or accept the retirement that is proposed for it.",
        "Let the live revision go whose retirement evidence proposes; else set lifecycle.target to Retired. "
        "The Decision about the newest revision will name you.",
        retire,
        "kubectl ecology explain {name}; kubectl ecology restore {name} takes it back.",
    ),
    Act(
        "restore",
        "Bring a retired specialist back.",
        "Set lifecycle.target to Live again, or take back what evidence retired. Within the undo window the "
        "same weights serve at once; later it starts again. Its Decision will name you.",
        restore,
    ),
    Act(
        "undo",
        "Take back a retirement that evidence asked for.",
        "Bring a revision back that evidence retired, within its undo window; its Decision will name you.",
        undo,
    ),
    Act(
        "release",
        "Let a specialist out of quarantine.",
        "Let a quarantined revision be evaluated again; its Decision will name you.",
        release,
    ),
)


def add_acts(app: typer.Typer, clock: Callable[[], datetime]) -> None:
    """Add a command for each act."""
    for act in ACTS:
        _add(app, act, clock)


def _add(app: typer.Typer, act: Act, clock: Callable[[], datetime]) -> None:
    @app.command(name=act.name, short_help=act.short, help=act.help)
    def command(
        ctx: typer.Context,
        *,
        name: Annotated[str, typer.Argument(help="Name of the Specialist.")],
        namespace: Namespace = None,
        context: Context = None,
        kubeconfig: Kubeconfig = None,
        hints: Hints = None,
    ) -> None:
        session = open_session(ctx, namespace, context, kubeconfig, hints)
        session.screen.show(act.do(session.cluster, name, clock()))
        session.screen.hint(f"Next: {act.next.format(name=name)}")

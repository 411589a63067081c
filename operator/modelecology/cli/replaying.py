"""What `explain --replay` does: reads the store and the log, and shows how the verdicts come out."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from modelecology.api.decision import Decision
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.governance.log import Entry

from .offline import Offline
from .options import Session
from .port import CliError, NotFoundError
from .records import write
from .replays import entry, held, render_replays, replay_record, replayed
from .screen import Output


def show_replay(
    session: Session,
    specialist: Specialist,
    wanted: tuple[Decision, ...] | Decision | None,
    store: str | None,
    output: Output,
) -> None:
    """Make verdicts on a specialist again and show how they come out; exits with 1 if not as recorded."""
    name = specialist.metadata.name
    decisions = wanted if isinstance(wanted, tuple) else () if wanted is None else (wanted,)
    if not decisions:
        raise CliError(f"Nothing has been decided about {name} yet.", "See: kubectl ecology status")
    population = population_of(session, specialist.spec.population_ref.name)
    offline = Offline.open(population, store)

    def log() -> Iterable[Entry]:
        return map(entry, session.cluster.log(population))

    replays = replayed(decisions, offline.inputs, log)
    if output is Output.TABLE:
        session.screen.lines(render_replays(replays))
    else:
        session.screen.text(write(replay_record(replays), output))
    if not held(replays, every=isinstance(wanted, tuple)):
        raise typer.Exit(1)


def population_of(session: Session, name: str) -> Population:
    """Find a population; raises NotFoundError."""
    snapshot = session.cluster.snapshot()
    found = next((p for p in snapshot.populations if p.metadata.name == name), None)
    if found is None:
        known = ", ".join(p.metadata.name for p in snapshot.populations) or "none"
        raise NotFoundError(
            f"There is no population {name} in namespace {snapshot.namespace}.",
            f"Populations there: {known}. Choose another namespace with -n.",
        )
    return found

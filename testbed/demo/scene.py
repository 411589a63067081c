"""What every act of the demo uses: the stage, the cluster, and a console to tell on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.rule import Rule

from modelecology.api.specialist import Specialist
from modelecology.cli.cluster import KubernetesCluster
from modelecology.cli.follow import follow_in_lines, follow_on_terminal
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import doing
from modelecology.cli.table import render_status
from testbed.demo.settled import until
from testbed.demo.stage import POPULATION, Stage

TIMEOUT = timedelta(minutes=40)
_TICK_SECONDS = 1.0


class Teller:
    """Tells the story on a console, chapter by chapter."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._chapters = 0

    def chapter(self, title: str) -> None:
        """Begin the next chapter."""
        self._chapters += 1
        self.rule(f"{self._chapters}. {title}")

    def rule(self, title: str) -> None:
        """Draw a line with words in it."""
        self.console.print()
        self.console.print(Rule(title, align="left"))

    def say(self, line: str) -> None:
        """Say one thing."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Scene:
    """A population on a stage, with somebody who tells of it."""

    def __init__(self, stage: Stage, cluster: KubernetesCluster, teller: Teller) -> None:
        self.stage = stage
        self.cluster = cluster
        self.teller = teller
        self.say = teller.say

    def follow(
        self, done: Callable[[Snapshot], bool], heed: Callable[[Snapshot], None] = lambda _: None
    ) -> Snapshot:
        """Tell what changes until all is as wanted, and give that; `heed` sees each snapshot.

        Raises TookTooLong.
        """
        last: list[Snapshot] = []

        def finished(snapshot: Snapshot) -> bool:
            last[:] = [snapshot]
            heed(snapshot)
            return done(snapshot)

        console = self.teller.console
        follow = follow_on_terminal if console.is_terminal else follow_in_lines
        with closing(self.cluster.follow(_TICK_SECONDS)) as snapshots:
            follow(until(snapshots, finished, now, now() + TIMEOUT), POPULATION, console, now)
        return last[0]

    def wait_for(self, name: str, wanted: Callable[[Specialist], bool]) -> Specialist:
        """Wait in silence until a specialist is as wanted, and give it. Raises TookTooLong."""

        def there(snapshot: Snapshot) -> bool:
            return wanted(member(snapshot, name))

        with closing(self.cluster.follow(_TICK_SECONDS)) as snapshots:
            return member(list(until(snapshots, there, now, now() + TIMEOUT))[-1], name)

    def table(self, snapshot: Snapshot) -> None:
        """Show where everybody stands, and why."""
        console = self.teller.console
        console.print(render_status(snapshot, POPULATION, now(), console.width), highlight=False)
        console.print()
        for specialist in snapshot.specialists:
            line = f"{specialist.metadata.name:<12} {specialist.status.state:<9} {doing(specialist)}"
            console.print(line, highlight=False, markup=False)


def member(snapshot: Snapshot, name: str) -> Specialist:
    """Find a specialist by name."""
    return next(s for s in snapshot.specialists if s.metadata.name == name)


def now() -> datetime:
    """Read the clock."""
    return datetime.now(UTC)

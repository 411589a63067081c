"""Argo CD heals and prunes while the operator works: python -m tests.argocd.soak --minutes 60.

Whatever happens to the engine, the operator and the specialists, and whatever is committed: the operator
writes no spec, and no object falls out of sync with a commit that it was in sync with.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.argocd import ArgoCD
from testbed.audit import AuditLog
from testbed.controlplane import ControlPlane
from testbed.operators import Nursery
from testbed.places import REPOSITORY
from testbed.pretend_desk import Manifest
from testbed.waiting import holds_within

from . import MANIFESTS
from .garden import Garden, open_garden

OPERATOR = "operator"
ADMINISTRATORS = ("system:masters",)
_WRITES = ("create", "update", "patch", "delete")
_OURS = "modelecology.io"


@dataclass(frozen=True)
class Findings:
    """What a soak found."""

    seconds: float
    acts: dict[str, int]
    commits: int
    changes: int  # objects that these changed
    flaps: int
    gaps: int  # moments at which a flap may have been missed
    spec_writes: int  # changes of a spec that no commit explains
    decisions: int
    operator_writes: dict[str, int]
    argocd_writes: dict[str, int]

    @property
    def text(self) -> str:
        """The findings, a line each."""

        def counts(found: dict[str, int]) -> str:
            return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))

        return "\n".join(
            (
                f"minutes            {self.seconds / 60:.1f}",
                f"acts               {sum(self.acts.values())}: {counts(self.acts)}",
                f"decisions          {self.decisions}",
                f"operator's writes  {counts(self.operator_writes)}",
                f"Argo CD's writes   {counts(self.argocd_writes)}",
                f"commits            {self.commits}, which change {self.changes} objects",
                f"OutOfSync flaps    {self.flaps}, watched with {self.gaps} gaps",
                f"spec changes that no commit explains  {self.spec_writes}",
            )
        )


class Soak:
    """Acts at random on a garden, one act at a time, each until it has come to its end."""

    def __init__(self, garden: Garden, chance: random.Random) -> None:
        self._garden = garden
        self._desk = garden.desk
        self._chance = chance
        self._made: Counter[str] = Counter()
        self._generations = {"dates": 1, "dates-hasty": 1}
        self._seed = 100
        self._acts: tuple[Callable[[], None], ...] = (
            self.the_engine_restarts,
            self.the_engine_is_away,
            self.the_operator_is_killed,
            self.a_person_retries,
            self.argocd_reads_git_anew,
            self.a_seed_is_changed_in_git,
            self.one_is_retired_and_restored_in_git,
            self.another_comes_and_goes_in_git,
        )

    def start(self) -> None:
        """Commit the population, and wait until everything stands still."""
        manifests = self._desk.manifests
        self._garden.plant(self._dates(), manifests.specialist("dates-hasty", "dates", 0.95))
        self._garden.wait_health("Degraded")
        self._desk.wait_states(dates="Live Serving", dates_hasty="Rejected")

    def run(self, seconds: float, pause: float = 0.0) -> None:
        """Act for so long, and at least once each; `pause` seconds go by after an act."""
        end = time.monotonic() + seconds
        rest = list(self._acts)
        while rest or time.monotonic() < end:
            act = rest.pop(self._chance.randrange(len(rest))) if rest else self._chance.choice(self._acts)
            self._made[act.__name__] += 1
            act()
            self._desk.wait_states(dates="Live Serving", dates_hasty="Rejected")
            holds_within(lambda: False, pause)

    def findings(self, seconds: float, audit: Path) -> Findings:
        """Say what became of it all."""
        garden = self._garden
        garden.wait_health("Degraded")
        found = {
            name: self._desk.get("specialist", name)["metadata"]["generation"] for name in self._generations
        }
        shared = {
            "population": self._desk.get("population", "desk"),
            "suite": self._desk.get("suite", "desk"),
        }
        surplus = sum(found[name] - known for name, known in self._generations.items())
        surplus += sum(body["metadata"]["generation"] - 1 for body in shared.values())
        return Findings(
            seconds,
            dict(self._made),
            len(garden.commits),
            garden.changes,
            len(garden.chronicle.flaps()),
            garden.chronicle.gaps,
            surplus,
            self._desk.log().sequence,
            self._written(audit, OPERATOR),
            self._written(audit, garden.argocd.user),
        )

    def _written(self, audit: Path, user: str) -> dict[str, int]:
        found = Counter(
            f"{r.verb} {r.right[1]}"
            for r in AuditLog(audit).read(user)
            if r.verb in _WRITES
            and r.group == _OURS
            and r.namespace == self._desk.namespace
            and not r.refused
        )
        return dict(found)

    # What can happen.

    def the_engine_restarts(self) -> None:
        before = len(self._desk.engine.events())
        self._desk.engine.restart()
        self._desk.wait(lambda: len(self._desk.engine.events()) > before, "another load")

    def the_engine_is_away(self) -> None:
        self._desk.engine.go_down()
        self._desk.wait_reason("desk", "EngineUnreachable", "population")
        self._desk.engine.come_back()
        self._desk.wait_reason("desk", "Ready", "population")

    def the_operator_is_killed(self) -> None:
        self._desk.operator.kill()
        self._desk.operator.start()
        self._desk.operator.wait_ready()

    def a_person_retries(self) -> None:
        before = self._last_decision("dates-hasty")
        asked = f"modelecology.io/retry=soak@{self._made.total()}"
        self._desk.kubectl("annotate", "specialist", "dates-hasty", "--overwrite", asked)
        self._desk.wait(lambda: self._last_decision("dates-hasty") > before, "another verdict")

    def argocd_reads_git_anew(self) -> None:
        self._garden.refresh("hard")
        self._garden.wait(self._garden.has_looked, "a refresh")

    def a_seed_is_changed_in_git(self) -> None:
        self._seed += 1
        self._generations["dates-hasty"] += 1
        before = self._desk.status("dates-hasty")["candidate"]["revision"]
        hasty = self._desk.manifests.specialist("dates-hasty", "dates", 0.95, seed=self._seed)
        self._garden.push(f"Seed {self._seed}", hasty)
        self._desk.wait(
            lambda: self._desk.status("dates-hasty")["candidate"]["revision"] != before, "a revision"
        )

    def one_is_retired_and_restored_in_git(self) -> None:
        self._generations["dates"] += 2
        self._garden.push("Retire dates", self._dates("Retired"))
        self._desk.wait_states(dates="Retired Retired")
        self._garden.push("Restore dates", self._dates())

    def another_comes_and_goes_in_git(self) -> None:
        capitals = self._desk.manifests.specialist("capitals", "capitals", 0.85)
        self._garden.push("Capitals", capitals)
        self._desk.wait_states(capitals="Pending InsufficientEvidence")
        self._garden.push("No capitals", without=("specialist-capitals.yaml",))
        self._desk.wait(lambda: self._desk.get("specialist", "capitals") == {}, "its end")

    def _last_decision(self, name: str) -> int:
        return int(self._desk.status(name)["lastDecision"]["sequence"])

    def _dates(self, target: str = "Live") -> Manifest:
        found = self._desk.manifests.specialist("dates", "dates", 0.6)
        found["spec"]["lifecycle"] = {"target": target}
        return found


def main(arguments: list[str]) -> int:
    """Soak, and say what was found; the exit code is 1 if anything fought with anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.argocd.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two acts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transcript", type=Path, help="where to write the Application's history")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as directory,
        ControlPlane(audit=True) as plane,
        Nursery(plane.kubeconfig_for(OPERATOR, ADMINISTRATORS)) as nursery,
        ArgoCD(plane, [MANIFESTS / "argocd-cm.yaml"]) as argocd,
    ):
        plane.install_crds(REPOSITORY / "crds")
        namespace = plane.create_namespace("soak")
        with open_garden(plane, argocd, nursery, namespace, Path(directory)) as garden:
            soak = Soak(garden, random.Random(options.seed))
            soak.start()
            started = time.monotonic()
            soak.run(options.minutes * 60, options.pause)
            found = soak.findings(time.monotonic() - started, plane.audit_log)
            if options.transcript is not None:
                options.transcript.write_text(garden.chronicle.transcript() + "\n", encoding="utf-8")
    print(found.text)
    return 1 if found.flaps or found.gaps or found.spec_writes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

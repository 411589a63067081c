"""A desk population as the API server gives it back, with every outcome, and a fake of the port."""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType

from modelecology.api.decision import Decision
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.api.vocabulary import Target
from modelecology.cli.port import NotFoundError, Snapshot

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
Raw = dict[str, Any]


def digest(letter: str) -> str:
    """A digest of one letter."""
    return "sha256:" + letter * 64


def condition(kind: str, status: str, reason: str, message: str = "") -> Raw:
    """One condition."""
    return {
        "type": kind,
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-24T11:50:00Z",
        "reason": reason,
        "message": message,
    }


def suite() -> EvaluationSuite:
    """The suite with two tasks and one invariant."""
    tasks = [
        {"name": "dates", "role": "Task", "scorer": "Exact", "traffic": 0.3, "worth": "0.02"},
        {"name": "cron", "role": "Task", "scorer": "Exact", "traffic": 0.2, "worth": "0.05"},
        {"name": "everyday", "role": "Invariant", "scorer": "Contains", "maxRegression": 0.1},
    ]
    for task in tasks:
        task["data"] = {"uri": f"file:///data/{task['name']}.eval.jsonl", "digest": digest("e")}
    return EvaluationSuite.model_validate({"metadata": {"name": "desk"}, "spec": {"tasks": tasks}})


def suite_life(**more: Any) -> Raw:
    """The budget of a suite after one proof, which passed."""
    provable = [{"task": "dates", "units": 93, "gain": 0.12}, {"task": "cron", "units": 12}]
    life = {"disclosure": "Verdict", "looks": 1, "looksLeft": 9, "passes": 1, "slice": 1, "nextLevel": 0.0027}
    return life | {"provable": provable} | more


def look(**more: Any) -> Raw:
    """What a decision keeps of a proof."""
    plan = {"alpha": "1/20", "disclosure": "Verdict", "looks": 10, "slices": 1, "rounds": 2, "grid": 20}
    given = {"suite": digest("5"), "plan": plan | {"screen": "2/5"}, "method": "Sequential", "slice": 1}
    return given | {"level": 0.0027, "margin": 0.0031, "incumbent": "generalist"} | more


def population(**status: Any) -> Population:
    """The population; keyword arguments lie over its status."""
    good = {
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "Ready")],
        "suiteDigest": digest("5"),
        "policyDigest": digest("9"),
        "value": "12.345",
        "baseline": [{"task": "dates", "score": 0.02, "n": 48}],
        "suiteLife": suite_life(),
        "endpoints": [
            {"endpoint": "http://127.0.0.1:8000", "reachable": True, "adapters": ["dates-aaaaaaaaaaaa"]},
        ],
        "ledger": {"cpuSeconds": "5400", "tokens": 120000, "cost": "0.075"},
    }
    return Population.model_validate(
        {
            "metadata": {"name": "desk", "creationTimestamp": "2026-11-24T09:00:00Z"},
            "spec": {
                "generalist": {"model": "file:///data/smollm2-135m-instruct", "digest": digest("b")},
                "suiteRef": {"name": "desk"},
                "store": {"uri": "file:///data/store"},
                "jobs": {"ray": {"address": "http://127.0.0.1:8265"}},
                "serving": {"endpoints": ["http://127.0.0.1:8000"]},
            },
            "status": good | status,
        }
    )


def specialist(name: str, task: str = "dates", *, population: str = "desk", **status: Any) -> Specialist:
    """A specialist that the operator has seen; keyword arguments are its status."""
    seen = {"observedGeneration": 1, "ledger": {"cpuSeconds": "240", "tokens": 31000, "cost": "0.0034"}}
    return Specialist.model_validate(
        {
            "metadata": {"name": name, "creationTimestamp": "2026-11-24T11:00:00Z"},
            "spec": {
                "populationRef": {"name": population},
                "contract": {"task": task, "target": 0.6, "owner": "desk-team"},
                "source": {"train": {"data": {"uri": "file:///data/t.jsonl", "digest": digest("d")}}},
            },
            "status": seen | status,
        }
    )


def revision(name: str, state: str, reason: str, **more: Any) -> Raw:
    """One revision's status."""
    return {
        "revision": "a" * 12,
        "servedName": f"{name}-{'a' * 12}",
        "key": "c" * 64,
        "state": state,
        "since": "2026-11-24T11:30:00Z",
        "reason": reason,
    } | more


def scorecard(score: float, incumbent: float) -> Raw:
    """A scorecard on 48 items."""
    return {
        "task": "dates",
        "score": score,
        "incumbent": "generalist",
        "incumbentScore": incumbent,
        "difference": {"low": 0.45, "high": 0.75, "confidence": 0.95},
        "n": 48,
    }


def members() -> tuple[Specialist, ...]:
    """One specialist of every outcome of the control point, one that trains, one that nobody has seen."""
    return (
        specialist(
            "capitals",
            "cron",
            state="Pending",
            conditions=[
                condition("Ready", "False", "InsufficientEvidence", "The gap is 0.03; 0.05 is not proven.")
            ],
        ),
        specialist("cron", "cron", state="Training", progress=progress("train", 12, 60, 0.8312, 80)),
        specialist(
            "dates",
            state="Live",
            live=revision("dates", "Live", "ServedScoreConfirmed", scorecard=scorecard(0.64, 0.02)),
            conditions=[condition("Ready", "True", "Serving", "Loaded and proved on 1 of 1 endpoints.")],
        ),
        specialist(
            "dates-hasty",
            state="Rejected",
            candidate=revision(
                "dates-hasty", "Rejected", "HardInvariantFailure", scorecard=scorecard(0.78, 0.02)
            ),
            conditions=[
                condition("Ready", "False", "HardInvariantFailure", "everyday is 0.00, the limit is 0.65.")
            ],
        ),
        Specialist.model_validate(
            {"metadata": {"name": "new"}, "spec": specialist("new").model_dump(by_alias=True)["spec"]}
        ),
    )


def asking(name: str = "careful", **more: Any) -> Specialist:
    """A specialist that has passed every check and waits for a person."""
    message = (
        f"Revision {'a' * 12} passed every check. It goes live when a person approves it: "
        f"kubectl ecology approve {name}. dates, through the endpoint: 0.64 against the generalist's 0.02."
    )
    return specialist(
        name,
        state="Shadow",
        candidate=revision(name, "Shadow", "PortfolioGainProven", scorecard=scorecard(0.64, 0.02)),
        conditions=[condition("Ready", "False", "AwaitingApproval", message)],
        **more,
    )


def progress(phase: str, step: int, total: int, loss: float | None, eta: int | None) -> Raw:
    """The progress of a job."""
    return {"phase": phase, "step": step, "total": total, "loss": loss, "etaSeconds": eta}


def decision(sequence: int, action: str, source: str, target: str, reason: str, **more: Any) -> Decision:
    """One decision about dates-hasty, a minute after the one before."""
    spec = {
        "population": "desk",
        "sequence": sequence,
        "time": f"2026-11-24T11:{20 + sequence:02d}:00Z",
        "subject": {"specialist": "dates-hasty", "uid": "u", "revision": "a" * 12, "key": "c" * 64},
        "action": action,
        "from": source,
        "to": target,
        "outcome": "Pass",
        "reason": reason,
        "premises": {"policy": digest("9"), "suite": digest("5"), "evidence": digest("1")},
        "cost": {"cpuSeconds": "130", "tokens": 31000, "cost": "0.0018"},
        "actor": "operator",
        "previous": digest("7"),
        "digest": digest("8"),
    }
    return Decision.model_validate({"metadata": {"name": f"desk-{sequence:012d}"}, "spec": spec | more})


def hasty_decisions() -> tuple[Decision, ...]:
    """What the log says of dates-hasty: proposed, evaluated, rejected by an invariant."""
    checks: list[Raw] = [
        {"name": "EvidenceComplete", "outcome": "Pass", "observed": "3 tasks", "limit": "3 tasks", "n": 144},
        {
            "name": "HardInvariants/everyday",
            "outcome": "Fail",
            "observed": "0.00",
            "limit": "0.65",
            "interval": {"low": 0.0, "high": 0.06, "confidence": 0.95},
            "n": 48,
            "message": "The skill everyday falls from 0.75 to 0.00.",
        },
        {
            "name": "PortfolioGain",
            "outcome": "Pass",
            "observed": "9.12",
            "limit": "0",
            "interval": {"low": 6.4, "high": 11.8, "confidence": 0.95},
            "n": 48,
        },
    ]
    verdict = {
        "outcome": "Fail",
        "checks": checks,
        "message": "everyday is 0.00 of 48, the limit is 0.65",
        "scorecard": scorecard(0.78, 0.02),
    }
    return (
        decision(3, "Propose", "Pending", "Training", "GapProven"),
        decision(5, "Evaluate", "Training", "Evaluating", "ArtifactCommitted"),
        decision(6, "Reject", "Evaluating", "Rejected", "HardInvariantFailure", **verdict),
    )


@dataclass
class FakeCluster:
    """The port over plain values; it remembers what was written."""

    namespace: str = "team"
    populations: tuple[Population, ...] = field(default_factory=lambda: (population(),))
    specialists: tuple[Specialist, ...] = field(default_factory=members)
    recorded: tuple[Decision, ...] = field(default_factory=hasty_decisions)
    later: tuple[Snapshot, ...] = ()
    annotations: dict[tuple[str, str], str] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.namespace, self.populations, self.specialists)

    def follow(self, tick: float) -> Generator[Snapshot, None, None]:
        assert tick > 0
        yield self.snapshot()
        yield from self.later
        raise KeyboardInterrupt

    def specialist(self, name: str) -> Specialist:
        for found in self.specialists:
            if found.metadata.name == name:
                return found
        raise NotFoundError(
            f"Cannot get specialist {name}: it does not exist in namespace {self.namespace}.", "Look."
        )

    def suite(self, name: str) -> EvaluationSuite | None:
        return suite() if name == "desk" else None

    def decisions(self, specialist: Specialist) -> tuple[Decision, ...]:
        return tuple(d for d in self.recorded if d.spec.subject.specialist == specialist.metadata.name)

    def log(self, population: Population) -> tuple[Decision, ...]:
        return tuple(d for d in self.recorded if d.spec.population == population.metadata.name)

    def annotate(self, specialist: str, annotation: str, value: str, target: Target | None = None) -> None:
        self.annotations[specialist, annotation] = value
        if target is not None:
            self.targets[specialist] = target

    def annotate_population(self, population: str, annotation: str, value: str) -> None:
        self.annotations[population, annotation] = value

    def create_decision(self, body: dict[str, Any]) -> None:
        self.created.append(body)

    def user(self) -> str:
        return "ada@example.org"


def rendered(renderable: RenderableType, width: int) -> str:
    """Render to text as on a terminal without colours; trailing spaces are cut."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    console.print(renderable, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

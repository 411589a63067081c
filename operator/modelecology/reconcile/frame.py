"""The frame of every verdict: one population with its suite, rules, store and log, seen at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from modelecology.api.population import Population
from modelecology.api.suite import EvaluationSuite, Task
from modelecology.api.vocabulary import Role
from modelecology.governance.courses import plan_of
from modelecology.governance.facts import SuiteTask
from modelecology.governance.lives import life_under
from modelecology.governance.log import LogState
from modelecology.governance.looks import SuiteLife
from modelecology.governance.rules import Policy
from modelecology.jobs.intents import DataRef as IntentData
from modelecology.jobs.intents import EvaluationTask, Scorer, Split, UnitRange, evaluation_key
from modelecology.store import ArtifactStore

from .classifier import Measured
from .usage import Counted


@dataclass(frozen=True, slots=True)
class Asked:
    """One result: who is asked which task, on which split. The generalist has neither adapter nor name."""

    task: str
    split: Split
    adapter_key: str | None = None
    served_model: str | None = None
    units: UnitRange | None = None  # some of the task's units; all where it is None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a population is judged by, in the terms of governance, and the digests that pin it."""

    policy: Policy
    policy_digest: str
    tasks: tuple[SuiteTask, ...]
    suite_digest: str
    measured: bool = False  # whether traffic is what gateways counted


@dataclass(frozen=True, slots=True)
class Frame:
    """A population at one moment."""

    namespace: str
    population: Population
    suite: EvaluationSuite
    rules: Rules
    log: LogState
    store: ArtifactStore
    code: str
    counted: Counted | None = None  # by gateways; None where they write nothing down
    classifier: Measured | None = None  # None where there is none, or no example

    @property
    def policy(self) -> Policy:
        """The population's rules."""
        return self.rules.policy

    @property
    def policy_digest(self) -> str:
        """Digest of the rules."""
        return self.rules.policy_digest

    @property
    def tasks(self) -> tuple[SuiteTask, ...]:
        """The suite's tasks."""
        return self.rules.tasks

    @property
    def suite_digest(self) -> str:
        """Digest of the suite."""
        return self.rules.suite_digest

    @property
    def life(self) -> SuiteLife:
        """The looks at the suite so far; before the first its life begins under today's policy."""
        return self.log.lives.get(self.suite_digest) or life_under(plan_of(self.policy))

    @property
    def name(self) -> str:
        """Name of the population."""
        return self.population.metadata.name

    def task(self, name: str) -> Task:
        """Find a task of the suite that is known to be there."""
        found = self.suite.spec.task(name)
        if found is None:
            raise KeyError(name)
        return found

    def order(self, asked: Asked) -> EvaluationTask:
        """Write the order for one result, under the key that names it."""
        base, task = self.population.spec.generalist.digest, self.task(asked.task)
        # Nothing of an invariant is held back: it is never asked through the endpoint.
        share = self.suite.spec.shadow_share if task.role is Role.TASK else 0.0
        return _order(task, asked, base, share, self.code)

    def invariants(self) -> tuple[str, ...]:
        """Name the tasks that are never traded."""
        return tuple(t.name for t in self.tasks if t.role is Role.INVARIANT)

    def baseline(self) -> tuple[Asked, ...]:
        """List what the generalist is asked: everything on the main split, tasks on the shadow split too."""
        main = [Asked(t.name, "Main") for t in self.tasks]
        shadow = [Asked(t.name, "Shadow") for t in self.tasks if t.role is Role.TASK]
        return (*main, *shadow)

    def unfinished(self, wanted: tuple[Asked, ...]) -> tuple[Asked, ...]:
        """Give back what is wanted, all of it, while any of it is not in the store yet. Raises StoreError.

        The whole set names the job: a job that has committed half of it stays the same job.
        """
        whole = all(self.store.commit_of(self.order(a).key) is not None for a in wanted)
        return () if whole else wanted


@lru_cache(maxsize=16384)
def _order(task: Task, asked: Asked, base_digest: str, share: float, code: str) -> EvaluationTask:
    # Every look asks for the same few orders again, and a key costs a digest.
    scorer: Scorer = task.scorer.value
    key = evaluation_key(
        base_digest=base_digest,
        adapter_key=asked.adapter_key,
        served_model=asked.served_model,
        data_digest=task.data.digest,
        scorer=scorer,
        pattern=task.pattern,
        entry_point=task.entry_point,
        max_new_tokens=task.max_new_tokens,
        split=asked.split,
        shadow_share=share,
        code=code,
        units=asked.units,
    )
    return EvaluationTask(
        key=key,
        task=task.name,
        data=IntentData(uri=task.data.uri, digest=task.data.digest),
        scorer=scorer,
        pattern=task.pattern,
        entry_point=task.entry_point,
        max_new_tokens=task.max_new_tokens,
        split=asked.split,
        shadow_share=share,
        units=asked.units,
    )

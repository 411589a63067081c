"""Reads recorded results from the store; a result never changes, so it is read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pydantic import BaseModel, TypeAdapter, ValidationError

from modelecology.engines.port import Fingerprint
from modelecology.engines.residency import choose_probes
from modelecology.governance.facts import (
    GENERALIST,
    Cost,
    Item,
    Results,
    RevisionRecord,
)
from modelecology.governance.lifecycle import ON_TRIAL
from modelecology.governance.pinning import pinned
from modelecology.governance.plain import Unreadable
from modelecology.governance.rules import Policy
from modelecology.governance.situations import Judgement, inputs_of
from modelecology.jobs.intents import EvaluationTask
from modelecology.jobs.results import RESULTS, read_results
from modelecology.store import ArtifactCorrupt, ArtifactStore, bytes_digest
from modelecology.store import Cost as StoredCost

from .frame import Frame
from .live_ledger import LiveLedgers

_REMEMBERED = 4096
# The operator reads a task's items for their questions; its memory is everybody's.
LARGEST_SUITE_FILE = 64 << 20


class _Prompt(BaseModel):
    id: str
    prompt: str = ""


_PARTS = TypeAdapter(list[tuple[str, str]])


@dataclass(frozen=True, slots=True)
class Recorded:
    """One committed result: the scored items, the answers by item, and what it cost."""

    results: Results
    outputs: dict[str, str]
    cost: Cost
    key: str = ""  # it is paid for once, under this key


class ResultsReader:
    """Reads results by key, and keeps the newest in memory."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Recorded] = OrderedDict()
        self._lock = threading.Lock()  # looks run in threads
        self.live = LiveLedgers()
        self._prompts: dict[str, dict[str, str]] = {}
        self._fingerprints: dict[str, Fingerprint] = {}
        self._policies: dict[str, tuple[Policy, str]] = {}
        self._asked: dict[str, tuple[tuple[str, str], ...]] = {}  # by trial: task and key of each part

    def read(self, store: ArtifactStore, order: EvaluationTask, model: str = GENERALIST) -> Recorded | None:
        """Read a result, or give None while it is not committed. Raises StoreError."""
        found = self._remembered(order.key)
        if found is None:
            if store.commit_of(order.key) is None:
                return None
            found = self._loaded(store, order.key, order.task)
        # Tasks with the same items share a key, so the task is the reader's and not the first writer's.
        return replace(found, results=replace(found.results, task=order.task, model=model))

    def _remembered(self, key: str) -> Recorded | None:
        with self._lock:
            found = self._known.pop(key, None)
            if found is not None:
                self._known[key] = found
        return found

    def _loaded(self, store: ArtifactStore, key: str, task: str) -> Recorded:
        found = _load(store, key, task)
        with self._lock:
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def rules(self, frame: Frame, record: RevisionRecord) -> tuple[Policy, str]:
        """Give the policy by which a revision is judged, and its digest. Raises StoreError."""
        if record.state not in ON_TRIAL or record.pinned is None or record.policy is None:
            return frame.policy, frame.policy_digest
        with self._lock:
            then = self._policies.get(record.pinned)
        if then is None:
            try:
                made = inputs_of(record.pinned, frame.store.inputs.read).made
            except Unreadable as error:
                raise ArtifactCorrupt(f"The inputs {record.pinned[:19]} cannot be read: {error}.") from error
            if not isinstance(made, Judgement):
                return frame.policy, frame.policy_digest
            then = (made.situation.policy, made.situation.policy_digest)
            with self._lock:
                self._policies[record.pinned] = then
        return pinned(then[0], frame.policy), then[1]

    def parts(self, store: ArtifactStore, trial: str) -> tuple[Recorded, ...] | None:
        """Read all that a course has asked, or give None while it has not ended. Raises StoreError."""
        with self._lock:
            asked = self._asked.get(trial)
        if asked is None:
            if not trial or store.commit_of(trial) is None:
                return None
            asked = tuple(_PARTS.validate_python(store.manifest(trial).meta.get("parts")))
            with self._lock:
                self._asked[trial] = asked
        found = ((task, self._remembered(key) or self._loaded(store, key, task)) for task, key in asked)
        # Tasks with the same items share a key, so the task is the course's and not the first reader's.
        return tuple(replace(each, results=replace(each.results, task=task)) for task, each in found)

    def fingerprint(
        self, store: ArtifactStore, order: EvaluationTask, candidate: Recorded, base: Recorded
    ) -> Fingerprint:
        """Choose the questions which tell an adapter from its base, once a result. Raises StoreError."""
        known = self._fingerprints.get(order.key)
        if known is not None:
            return known
        if order.data.digest not in self._prompts:
            content = store.places.read(order.data.uri, LARGEST_SUITE_FILE)
            if bytes_digest(content) != order.data.digest:
                raise ArtifactCorrupt(f"{order.data.uri} is not what its digest says; restore the file.")
            lines = content.decode("utf-8").split("\n")
            try:
                rows = [_Prompt.model_validate_json(line) for line in lines if line.strip()]
            except ValidationError as error:
                raise ArtifactCorrupt(f"{order.data.uri} has a line that cannot be read; mend it.") from error
            self._prompts[order.data.digest] = {row.id: row.prompt for row in rows}
        prompts = self._prompts[order.data.digest]
        chosen = choose_probes(candidate.outputs, base.outputs, prompts, max_tokens=order.max_new_tokens)
        self._fingerprints[order.key] = chosen
        return chosen


def cost_of(cost: StoredCost) -> Cost:
    """Take a job's cost, to the millisecond."""
    return Cost(
        Decimal(str(round(cost.cpu_seconds, 3))), Decimal(str(round(cost.gpu_seconds, 3))), cost.tokens
    )


def joined(parts: Sequence[Recorded], task: str, model: str) -> Recorded | None:
    """Put what was asked of one task together; None where nothing was."""
    own = [part for part in parts if part.results.task == task]
    if not own:
        return None
    items = tuple(item for part in own for item in part.results.items)
    outputs = {item: output for part in own for item, output in part.outputs.items()}
    cost = sum((part.cost for part in own), Cost())
    return Recorded(Results(task, model, items, expected=len(items)), outputs, cost)


def _load(store: ArtifactStore, key: str, task: str) -> Recorded:
    manifest = store.manifest(key)
    content = store.read(key, RESULTS)
    try:
        lines = read_results(content)
    except ValidationError as error:
        raise ArtifactCorrupt(f"{RESULTS} of {key[:12]} cannot be read; restore the store.") from error
    expected = manifest.meta.get("n")
    return Recorded(
        Results(
            task=task,
            model=GENERALIST,
            items=tuple(Item(line.id, line.cluster, line.score, line.seconds) for line in lines),
            expected=expected if isinstance(expected, int) else None,
        ),
        {line.id: line.output for line in lines},
        cost_of(manifest.cost),
        key,
    )

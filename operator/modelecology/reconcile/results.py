"""Reads recorded results from the store; a result never changes, so it is read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from decimal import Decimal

from pydantic import BaseModel, TypeAdapter, ValidationError

from modelecology.engines.port import Fingerprint
from modelecology.engines.residency import choose_probes
from modelecology.governance.facts import GENERALIST, Cost, Item, Results
from modelecology.jobs.intents import EvaluationTask
from modelecology.store import ArtifactCorrupt, ArtifactStore, bytes_digest
from modelecology.store import Cost as StoredCost

_REMEMBERED = 4096
RESULTS = "results.jsonl"
# The operator reads a task's items for their questions; its memory is everybody's.
LARGEST_SUITE_FILE = 64 << 20


class _Line(BaseModel):
    id: str
    cluster: str
    score: float
    output: str = ""


class _Prompt(BaseModel):
    id: str
    prompt: str = ""


_LINE = TypeAdapter(_Line)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One committed result: the scored items, the answers by item, and what it cost."""

    results: Results
    outputs: dict[str, str]
    cost: Cost


class ResultsReader:
    """Reads results by key, and keeps the newest in memory."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Recorded] = OrderedDict()
        self._lock = threading.Lock()  # looks run in threads
        self._prompts: dict[str, dict[str, str]] = {}
        self._fingerprints: dict[str, Fingerprint] = {}

    def read(self, store: ArtifactStore, order: EvaluationTask, model: str = GENERALIST) -> Recorded | None:
        """Read a result, or give None while it is not committed. Raises StoreError."""
        with self._lock:
            found = self._known.pop(order.key, None)
            if found is not None:
                self._known[order.key] = found
        if found is None:
            if store.commit_of(order.key) is None:
                return None
            found = _load(store, order)
            with self._lock:
                self._known[order.key] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        # Tasks with the same items share a key, so the task is the reader's and not the first writer's.
        return replace(found, results=replace(found.results, task=order.task, model=model))

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


def _load(store: ArtifactStore, order: EvaluationTask) -> Recorded:
    manifest = store.manifest(order.key)
    content = store.read(order.key, RESULTS).decode()
    try:
        lines = [_LINE.validate_json(line) for line in content.split("\n") if line]
    except ValidationError as error:
        raise ArtifactCorrupt(f"{RESULTS} of {order.key[:12]} cannot be read; restore the store.") from error
    expected = manifest.meta.get("n")
    return Recorded(
        Results(
            task=order.task,
            model=GENERALIST,
            items=tuple(Item(line.id, line.cluster, line.score) for line in lines),
            expected=expected if isinstance(expected, int) else None,
        ),
        {line.id: line.output for line in lines},
        cost_of(manifest.cost),
    )

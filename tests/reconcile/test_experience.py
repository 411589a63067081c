"""The next training is expected to take what earlier ones took."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from modelecology.governance.log import LogState
from modelecology.reconcile.experience import seconds_per_step
from modelecology.reconcile.frame import Frame
from modelecology.store import ArtifactStore, Cost


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.create(f"file://{tmp_path}")


def _train(store: ArtifactStore, key: str, steps: int, cpu_seconds: float) -> None:
    with store.begin(key) as attempt:
        attempt.commit("Train", {"recipe": {"steps": steps}}, Cost(cpu_seconds=cpu_seconds))


def _frame(store: ArtifactStore, *made: str) -> Frame:
    frame: Any = SimpleNamespace(store=store, log=LogState(made=frozenset(made)))
    return cast(Frame, frame)


def test_without_a_training_there_is_nothing_to_go_by(store: ArtifactStore) -> None:
    assert seconds_per_step(_frame(store)) is None
    assert seconds_per_step(_frame(store, "a" * 64)) is None


def test_the_median_of_the_trainings_counts(store: ArtifactStore) -> None:
    for key, seconds in (("a" * 64, 60.0), ("b" * 64, 120.0), ("c" * 64, 6000.0)):
        _train(store, key, 60, seconds)
    assert seconds_per_step(_frame(store, "a" * 64, "b" * 64, "c" * 64)) == Decimal("2.0")


def test_an_import_took_no_steps(store: ArtifactStore) -> None:
    with store.begin("d" * 64) as attempt:
        attempt.commit("Import", {}, Cost(cpu_seconds=5.0))
    assert seconds_per_step(_frame(store, "d" * 64)) is None

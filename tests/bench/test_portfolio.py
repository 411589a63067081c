"""The bench of the portfolio: an exact oracle, keepers within the limits, a matrix as it was recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import JsonValue

from bench.ecology import ITEMS, MEMORY, SLOTS, Candidate, World, oracle, world
from bench.goals import Goals
from bench.keepers import PEERS, Governed, everything
from bench.matrix import (
    FORMAT,
    Matrix,
    MatrixError,
    broken,
    read_matrix,
    record,
    standing_of,
    write_matrix,
)
from bench.portfolio import recorded
from modelecology.store import ArtifactStore, Cost

SUITE = {
    "tasks": [
        {"name": "dates", "role": "Task", "traffic": 0.5, "worth": "0.02"},
        {"name": "cron", "role": "Task", "traffic": 0.3, "worth": "0.05"},
        {"name": "everyday", "role": "Invariant", "maxRegression": 0.15},
    ]
}
N = 60


def small(seed: int, count: int) -> World:
    found = world(np.random.default_rng(seed), 0.5)
    return replace(found, history=found.history[:count])


def true_scores(found: World) -> dict[str, float]:
    return {c.name: c.quality for c in (*found.generalist.values(), *found.history)}


@pytest.mark.parametrize("seed", range(4))
def test_the_oracle_is_the_best_of_all_sets_after_each_arrival(seed: int) -> None:
    found = small(seed, 9)
    believed = true_scores(found)
    path = oracle(found)
    for number in (1, 4, 9):
        seen = found.history[:number]
        sets = (s for size in range(SLOTS + 1) for s in combinations(seen, size))
        fitting = [s for s in sets if sum(c.size for c in s) <= MEMORY]
        assert path[number - 1] == pytest.approx(max(found.worth(s, believed) for s in fitting))


def fits(residents: list[Candidate]) -> bool:
    return len(residents) <= SLOTS and sum(c.size for c in residents) <= MEMORY


def test_every_keeper_stays_within_slots_and_memory_and_below_the_oracle() -> None:
    found = small(3, 40)
    best = oracle(found)
    governed = Governed(found)
    kept = governed.run()
    assert fits(governed.live)
    assert all(mine <= most + 1e-9 for mine, most in zip(kept.path, best, strict=True))
    assert 0 < kept.items < 0.4 * ITEMS * 40
    for choose in PEERS.values():
        theirs = everything(found, choose)
        assert theirs.items == 40 * ITEMS
        assert all(mine <= most + 1e-9 for mine, most in zip(theirs.path, best, strict=True))


def test_a_history_is_a_function_of_its_seed() -> None:
    one, other = (Governed(small(1, 15)).run() for _ in range(2))
    assert one == other


def manifests(folder: Path) -> Path:
    folder.mkdir()
    digest = "sha256:" + "d" * 64
    for task in SUITE["tasks"]:
        task |= {"data": {"uri": "store:///x.jsonl", "digest": digest}, "scorer": "Exact"}
    population = {
        "generalist": {"model": "store:///base", "digest": digest},
        "suiteRef": {"name": "desk"},
        "store": {"uri": "file:///store"},
        "jobs": {"ray": {"address": "http://127.0.0.1:1"}},
        "serving": {"endpoints": ["http://127.0.0.1:2"], "capacity": {"adapters": 2}},
        "policy": {"viability": {"requestsPerDay": 2000}},
    }
    for kind, spec in (("Population", population), ("EvaluationSuite", SUITE)):
        body = {"kind": kind, "metadata": {"name": "desk"}, "spec": spec}
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump(body))
    return folder


def key(name: str) -> str:
    return (name.encode().hex() * 8)[:64].ljust(64, "0")


def evaluated(
    store: ArtifactStore, model: str, task: str, share: float, first: int = 0, last: int = N
) -> None:
    """Commit the results of a model on some items of a task."""
    lines = [
        {"id": f"i{k:02d}", "cluster": f"i{k:02d}", "score": float(k % 20 < 20 * share), "output": ""}
        for k in range(first, last)
    ]
    with store.begin(key(f"{model[:3]}{task[:3]}{first:02d}")) as attempt:
        attempt.write("results.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
        adapter = key(model) if model else None
        model_of: JsonValue = {"adapter": adapter}
        meta: dict[str, JsonValue] = {"task": task, "split": "Main", "n": last - first, "model": model_of}
        attempt.commit("Evaluate", meta, Cost())


def trained(store: ArtifactStore, name: str, replay: float | None) -> None:
    with store.begin(key(name)) as attempt:
        attempt.write("adapter_model.safetensors", b"w" * 1000)
        shown: JsonValue = {"digest": "sha256:r", "share": replay} if replay else None
        attempt.commit("Train", {"specialist": name, "replay": shown, "recipe": {"steps": 60}}, Cost())


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, Path]:
    """A store as a demo leaves it: the generalist, two sound adapters, and one that forgets."""
    folder = tmp_path / "store"
    folder.mkdir()
    store = ArtifactStore.create(f"file://{folder}")
    for task, share in (("dates", 0.05), ("cron", 0.05), ("everyday", 0.8)):
        evaluated(store, "", task, share)
    for name, task, share, kept, replay in (
        ("dates", "dates", 0.8, 0.8, 0.375),
        ("cron", "cron", 0.4, 0.75, 0.375),
        ("hasty", "dates", 0.9, 0.1, None),
    ):
        trained(store, name, replay)
        # In parts, as a course asks.
        evaluated(store, name, task, share, 0, 20)
        evaluated(store, name, task, share, 20, N)
        evaluated(store, name, "everyday", kept)
    return folder, manifests(tmp_path / "manifests")


@pytest.fixture
def matrix(filled: tuple[Path, Path]) -> Matrix:
    return record(*filled)


def test_a_matrix_has_every_model_every_task_and_how_each_was_trained(matrix: Matrix) -> None:
    named = {m.name.partition("-")[0]: m for m in matrix.models}
    assert set(named) == {"generalist", "dates", "cron", "hasty"}
    assert {n: m.task for n, m in named.items()} == {
        "generalist": "",
        "dates": "dates",
        "cron": "cron",
        "hasty": "dates",
    }
    assert named["dates"].lineage["replay"]["share"] == 0.375
    assert named["hasty"].lineage["replay"] is None
    assert named["dates"].resident_bytes == 1000
    results = matrix.results(named["dates"], "dates")
    assert len(results.items) == N
    assert results.mean == pytest.approx(0.8)
    assert matrix.results(named["dates"], "cron").items == ()


def test_what_is_written_is_what_is_read(matrix: Matrix, tmp_path: Path) -> None:
    path = tmp_path / "data" / "adapters.json"
    write_matrix(path, matrix)
    assert read_matrix(path) == matrix
    path.write_text(path.read_text().replace(f'"format":{FORMAT}', '"format":99'))
    with pytest.raises(MatrixError, match="has format 99"):
        read_matrix(path)


def test_what_breaks_an_invariant_is_no_member(matrix: Matrix) -> None:
    standing, _, _ = standing_of(matrix)
    assert {m.served_name.partition("-")[0] for m in standing.members} == {"dates", "cron"}
    hasty = next(m for m in matrix.adapters if m.name.startswith("hasty"))
    (lost,) = broken(matrix, hasty).values()
    assert lost.mean == pytest.approx(-0.7)
    dates = next(m for m in standing.members if m.task == "dates")
    assert dates.over == "generalist"
    assert dates.lead is not None
    assert dates.lead.low < 0.75 < dates.lead.high


def test_the_report_shows_the_matrix_and_what_each_member_is_worth(
    matrix: Matrix, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(Goals(), matrix)
    text = " ".join(capsys.readouterr().out.split())
    # 60,000 requests: dates 0.5 x 0.02 x 0.75, cron 0.3 x 0.05 x 0.35.
    assert "dates 450.00" in text
    assert "cron 315.00" in text
    assert "breaks everyday -0.70" in text
    assert "in the best set" in text
    assert text.endswith("best set 765.00 765.00")


def test_a_store_without_the_generalists_results_is_refused(
    filled: tuple[Path, Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ArtifactStore.create(f"file://{empty}")
    (empty / "artifacts").mkdir(exist_ok=True)
    with pytest.raises(MatrixError, match="no results on cron, dates, everyday"):
        record(empty, filled[1])
    with pytest.raises(MatrixError, match="has no Population"):
        record(filled[0], tmp_path)

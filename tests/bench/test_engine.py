"""The engine's bench: a small run of it on a random base, and how answers are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine import Ready, Round, Turn, batch, parse, ready, tell_batch, tell_ready
from bench.engine_parity import equal_shares, found_in
from bench.engine_stage import write_adapters
from bench.goals import Goals
from modelecology.engines.residency import HEARD
from modelecology.store import ArtifactStore, Cost
from tests.engines.tiny_base import make_base

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SMALL = parse(
    ["--rounds", "1", "--rows", "4", "--tokens", "4", "--loads", "1", "--dtype", "float32", "--threads", "1"]
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("bench") / "base")


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return write_adapters(base, tmp_path_factory.mktemp("adapters"), 4)


async def test_a_small_batch_is_measured_beside_the_base_and_the_peer(
    base: Path, adapters: tuple[Path, ...]
) -> None:
    (seen,) = await batch(base, adapters, SMALL)
    for turn in (seen.base, seen.mixed, seen.peer):
        assert min(turn.rate, turn.steps, turn.cpu) > 0


async def test_a_load_is_measured_while_nothing_runs_and_while_requests_run(
    base: Path, adapters: tuple[Path, ...]
) -> None:
    (idle, *_) = await ready(base, adapters, SMALL, 0)
    assert 0 < idle.loaded < idle.first
    assert idle.loading == 0
    (busy, *_) = await ready(base, adapters, SMALL, 2)
    assert 0 < busy.loaded < busy.first
    assert min(busy.calm, busy.newcomer, busy.loading) > 0


def test_goals_are_judged_by_the_middle_of_the_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    goals = Goals()
    base, peer = Turn(100, 120, 10), Turn(10, 10, 100)
    tell_batch(goals, [Round(base, Turn(share, 110, 12), peer) for share in (85, 79, 81)], SMALL)
    tell_ready(goals, [Ready(0.02, 0.04)], [Ready(0.02, 0.06, 0.03, 0.05, 0.09)], 4_900_000)
    assert goals.missed == ["ready to serve, 8 requests run", "no request stalled by a load"]
    assert "0.79 / 0.81 / 0.85 of the base's" in capsys.readouterr().out


def test_answers_are_compared_as_a_whole_and_as_far_as_a_proof_compares() -> None:
    start = "x" * HEARD
    said = ["2031-03-04", f"{start} and so on", "no", " same "]
    beside = ["2031-03-04", f"{start} and on", "yes", "same"]
    assert equal_shares(said, beside) == (0.5, 0.75)


def test_the_adapters_of_a_store_are_found_with_their_tasks(tmp_path: Path) -> None:
    store = ArtifactStore.create(f"file://{tmp_path}")
    cost = Cost(cpu_seconds=1, gpu_seconds=0, wall_seconds=1, tokens=1, peak_rss_bytes=1)
    for key, name in (("a" * 64, "dates-hasty"), ("b" * 64, "cron"), ("c" * 64, "unheard-of")):
        with store.begin(key) as attempt:
            attempt.write("adapter_config.json", b"{}")
            attempt.commit("Train", {"specialist": name}, cost)
    assert [(each.name, each.task.name) for each in found_in(tmp_path)] == [
        ("cron", "cron"),
        ("dates-hasty", "dates"),
    ]


def test_a_number_that_measures_nothing_is_refused() -> None:
    with pytest.raises(SystemExit):
        parse(["--tokens", "1"])

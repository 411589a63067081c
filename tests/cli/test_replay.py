"""`explain --replay`, over what a desk with a specialist in every state has left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelecology.cli import options

from .conftest import Run
from .played import PlayedCluster, played


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlayedCluster, Path]:
    """The objects of a desk, and where its store lies."""
    directory = tmp_path_factory.mktemp("played")
    return played(directory), directory / "store"


@pytest.fixture
def cluster(desk: tuple[PlayedCluster, Path]) -> PlayedCluster:
    """A copy that a test may change."""
    return replace(desk[0])


@pytest.fixture
def run(cluster: PlayedCluster, shell: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the plugin as the shell does; gives its exit code, stdout and stderr."""
    monkeypatch.setattr(options, "connect", lambda _access: cluster)
    return shell


def test_every_decision_about_every_specialist_comes_out_the_same(run: Run, cluster: PlayedCluster) -> None:
    seen = 0
    for specialist in cluster.specialists:
        count = len(cluster.decisions(specialist))
        if count == 0:
            continue
        code, out, _ = run("explain", specialist.metadata.name, "--replay", "--all")
        assert code == 0, out
        assert out.endswith(f"{count} of {count} decisions came out the same, byte for byte.\n")
        seen += count
    assert seen == len(cluster.decided) > 50


def test_the_last_verdict_or_a_chosen_one_is_replayed_from_a_store_that_lies_elsewhere(
    run: Run, desk: tuple[PlayedCluster, Path], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "mounted"
    elsewhere.symlink_to(desk[1])
    code, out, _ = run("explain", "dates", "--replay", "--store", f"file://{elsewhere}")
    assert (code, out.splitlines()[0].split(" ", 2)[2]) == (0, "Promote: the same, byte for byte.")
    code, out, _ = run("explain", "dates", "--replay", "--store", f"file://{tmp_path}/nowhere")
    assert code == 1
    first = desk[0].decisions(next(s for s in desk[0].specialists if s.metadata.name == "dates"))[0]
    sequence = str(first.spec.sequence)
    record = json.loads(run("explain", "dates", "--replay", "--decision", sequence, "-o", "json")[1])
    (replayed,) = record["replays"]
    assert (replayed["sequence"], replayed["action"]) == (first.spec.sequence, "Propose")
    assert (replayed["outcome"], replayed["differences"]) == ("Same", [])


def test_inputs_that_are_gone_or_changed_are_said(
    run: Run, cluster: PlayedCluster, desk: tuple[PlayedCluster, Path], tmp_path: Path
) -> None:
    specialist = next(s for s in cluster.specialists if s.metadata.name == "dates")
    last = next(d for d in reversed(cluster.decisions(specialist)) if d.spec.checks)
    digest = str(last.spec.premises.inputs)
    other = tmp_path / "store"
    (other / "inputs").mkdir(parents=True)
    (other / "store.json").write_text('{"format":2}\n')
    code, out, _ = run("explain", "dates", "--replay", "--store", f"file://{other}")
    assert (code, "are not in the store" in out) == (1, True)
    name = f"{digest.removeprefix('sha256:')}.json"
    (other / "inputs" / name).write_bytes((desk[1] / "inputs" / name).read_bytes() + b" ")
    code, out, _ = run("explain", "dates", "--replay", "--store", f"file://{other}")
    assert (code, "were changed" in out) == (1, True)


def test_a_decision_that_was_changed_and_one_without_inputs_are_told_apart(
    run: Run, cluster: PlayedCluster
) -> None:
    def changed(**spec: object) -> None:
        cluster.decided = tuple(
            d.model_copy(update={"spec": d.spec.model_copy(update=spec)}) for d in cluster.decided
        )

    before = cluster.decided
    changed(message="All is well.")
    code, out, _ = run("explain", "dates", "--replay")
    assert (code, "was changed after it was recorded" in out) == (1, True)
    cluster.decided = before
    assert run("explain", "capitals", "--replay")[0] == 0


def test_options_that_belong_to_a_replay_are_refused_without_it(run: Run) -> None:
    assert run("explain", "dates", "--all")[0] == 2
    assert run("explain", "dates", "--replay", "--all", "--decision", "1")[0] == 2

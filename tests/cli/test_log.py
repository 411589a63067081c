"""`kubectl ecology log`: a whole log verified, and rebuilt on a cluster that has lost everything."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelecology.api.decision import Decision
from modelecology.api.meta import LOG_UID_ANNOTATION
from modelecology.cli import options
from modelecology.cli.replays import entry
from modelecology.reconcile.log_copy import LogCopy
from modelecology.store import ArtifactStore

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
    return replace(desk[0], annotations={})


@pytest.fixture
def store(desk: tuple[PlayedCluster, Path], tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    for name in ("log", "inputs"):
        shutil.copytree(desk[1] / name, tmp_path / name)
    shutil.copy(desk[1] / "store.json", tmp_path)
    return tmp_path


@pytest.fixture
def run(cluster: PlayedCluster, shell: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the plugin as the shell does; gives its exit code, stdout and stderr."""
    monkeypatch.setattr(options, "connect", lambda _access: cluster)
    return shell


def entry_file(store: Path, sequence: int) -> Path:
    (found,) = store.glob(f"log/*/entries/{sequence:012d}.json")
    return found


def test_a_whole_log_is_told_in_one_line_with_its_tip(run: Run, cluster: PlayedCluster) -> None:
    last = cluster.decided[-1].spec
    code, out, _ = run("log", "verify", "desk")
    assert code == 0
    assert out.startswith(f"Whole: {last.sequence} decisions, the last with digest {last.digest}")
    assert run("log", "verify", "desk", "--tip", f"{last.sequence}:{last.digest}")[0] == 0
    record = json.loads(run("log", "verify", "desk", "-o", "json")[1])
    assert (record["whole"], record["decisions"]) == (True, last.sequence)
    assert run("log", "verify", "desk", "--tip", "the last")[0] == 2


def test_the_first_break_is_told_in_one_line(run: Run, cluster: PlayedCluster) -> None:
    spec = cluster.decided[11].spec.model_copy(update={"message": "All is well."})
    forged = cluster.decided[11].model_copy(update={"spec": spec})
    cluster.decided = (*cluster.decided[:11], forged, *cluster.decided[12:])
    code, out, _ = run("log", "verify", "desk")
    assert (code, out) == (1, "Broken: decision 12 is another one in the cluster than in the store.\n")
    code, out, _ = run("log", "verify", "desk", "--without-store")
    assert (code, out) == (1, "Broken: decision 12 was changed: its digest does not match its body.\n")
    record = json.loads(run("log", "verify", "desk", "-o", "json")[1])
    assert record["whole"] is False


def test_a_lost_end_is_found_by_the_store_by_a_status_and_by_a_tip_that_was_noted(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    tip = cluster.decided[-1].spec
    cluster.decided = cluster.decided[:-1]
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, out) == (
        1,
        f"Broken: decision {tip.sequence} is missing in the cluster; the store keeps it.\n",
    )
    entry_file(store, tip.sequence).unlink()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, f"names decision {tip.sequence}, but the log ends" in out) == (1, True)
    cluster.populations = tuple(
        p.model_copy(update={"status": p.status.model_copy(update={"last_decision": None})})
        for p in cluster.populations
    )
    cluster.specialists = ()
    # Nothing names it any more: what is left is a whole log.
    assert run("log", "verify", "desk", "--store", f"file://{store}")[0] == 0
    noted = f"{tip.sequence}:{tip.digest}"
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}", "--tip", noted)
    assert (code, f"--tip names decision {tip.sequence}" in out) == (1, True)


def test_inputs_that_are_gone_break_the_log(run: Run, cluster: PlayedCluster, store: Path) -> None:
    first = next(d for d in cluster.decided if d.spec.premises.inputs)
    digest = str(first.spec.premises.inputs)
    (store / "inputs" / f"{digest.removeprefix('sha256:')}.json").unlink()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, out.startswith(f"Broken: decision {first.spec.sequence} was made from {digest}")) == (
        1,
        True,
    )


def lost(cluster: PlayedCluster) -> tuple[Decision, ...]:
    """Lose the control plane's data: the same manifests are there again, under other uids; gives the log."""
    before, cluster.decided = cluster.decided, ()
    cluster.populations = tuple(
        p.model_copy(update={"metadata": p.metadata.model_copy(update={"uid": f"new-{p.metadata.uid}"})})
        for p in cluster.populations
    )
    cluster.specialists = tuple(
        s.model_copy(update={"metadata": s.metadata.model_copy(update={"uid": f"new-{s.metadata.uid}"})})
        for s in cluster.specialists
    )
    return before


def test_a_lost_log_is_rebuilt_entry_by_entry_and_everybody_takes_the_old_place(
    run: Run, cluster: PlayedCluster, desk: tuple[PlayedCluster, Path]
) -> None:
    before = lost(cluster)
    code, out, err = run("log", "rebuild", "desk")
    assert code == 0, err
    assert out.startswith(f"{len(before)} decisions of desk were created, up to {before[-1].spec.sequence}.")
    assert [d.spec for d in cluster.decided] == [d.spec for d in before]
    assert {d.metadata.name for d in cluster.decided} == {d.metadata.name for d in before}
    (old,) = (p.metadata.uid for p in desk[0].populations if p.metadata.name == "desk")
    assert cluster.annotations["desk", LOG_UID_ANNOTATION] == f"desk/{old}"
    for specialist in desk[0].specialists:
        name = specialist.metadata.name
        if any(d.spec.subject.uid == specialist.metadata.uid for d in before):
            assert cluster.annotations[name, LOG_UID_ANNOTATION] == f"{name}/{specialist.metadata.uid}"
        else:
            assert (name, LOG_UID_ANNOTATION) not in cluster.annotations
    assert run("log", "rebuild", "desk")[1].startswith("0 decisions of desk were created")


def test_what_is_sealed_stays_in_the_store_and_the_rest_is_created(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    (uid,) = (p.name for p in (store / "log").iterdir())
    copy = LogCopy(lambda: ArtifactStore.open(f"file://{store}"), uid, "d", "desk")
    for _ in range(2):
        copy.seal([entry(d) for d in cluster.decided], 10)
    copy.release()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, "2 segments" in out) == (0, True)
    before = lost(cluster)
    out = run("log", "rebuild", "desk", "--store", f"file://{store}")[1]
    assert "; 20 older ones stay in the store, sealed." in out
    assert [d.spec for d in cluster.decided] == [d.spec for d in before[20:]]
    assert run("log", "verify", "desk", "--without-store")[0] == 1
    (segment, *_) = sorted(store.glob(f"log/{uid}/segment-*"))
    segment.write_bytes(segment.read_bytes().replace(b'"Pass"', b'"Fail"', 1))
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "was changed" in err) == (1, True)


def test_a_copy_of_a_manifest_under_another_name_stands_for_nobody(cluster: PlayedCluster) -> None:
    meta = cluster.specialists[0].metadata
    told = {LOG_UID_ANNOTATION: f"{meta.name}/earlier"}
    assert meta.log_uid == meta.uid
    assert meta.model_copy(update={"annotations": told}).log_uid == "earlier"
    assert meta.model_copy(update={"annotations": told, "name": "copied"}).log_uid == meta.uid
    assert meta.model_copy(update={"annotations": {LOG_UID_ANNOTATION: meta.name}}).log_uid == meta.uid


def test_an_interrupted_rebuild_goes_on(run: Run, cluster: PlayedCluster) -> None:
    before = lost(cluster)
    cluster.decided = before[:20]
    assert run("log", "rebuild", "desk")[1].startswith(f"{len(before) - 20} decisions of desk were created")
    assert len(cluster.decided) == len(before)


def test_a_population_that_has_decided_by_itself_is_not_overwritten(run: Run, cluster: PlayedCluster) -> None:
    before = lost(cluster)
    spec = before[0].spec.model_copy(update={"message": "Another log."})
    cluster.decided = (before[0].model_copy(update={"spec": spec}),)
    code, _, err = run("log", "rebuild", "desk")
    assert (code, "has a decision 1 of its own" in err) == (1, True)
    assert cluster.annotations == {}


def test_a_specialist_without_an_object_stops_the_rebuild_unless_it_is_to_be_dropped(
    run: Run, cluster: PlayedCluster
) -> None:
    lost(cluster)
    cluster.specialists = tuple(s for s in cluster.specialists if s.metadata.name != "retired")
    code, _, err = run("log", "rebuild", "desk")
    assert (code, "have no object: retired" in err) == (1, True)
    assert run("log", "rebuild", "desk", "--drop-missing")[0] == 0


def test_a_broken_copy_is_not_rebuilt_from(run: Run, cluster: PlayedCluster, store: Path) -> None:
    lost(cluster)
    entry_file(store, 7).write_bytes(entry_file(store, 8).read_bytes())
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "decision 7 is missing or forked" in err) == (1, True)
    assert cluster.annotations == {}


def test_a_store_without_the_log_or_with_several_says_so(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    lost(cluster)
    (uid,) = (p.name for p in (store / "log").iterdir() if (p / "log.json").exists())
    shutil.copytree(store / "log" / uid, store / "log" / "another")
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "several logs of this name" in err) == (1, True)
    assert run("log", "rebuild", "desk", "--store", f"file://{store}", "--uid", uid)[0] == 0
    shutil.rmtree(store / "log")
    code, _, err = run("log", "rebuild", "without-suite", "--store", f"file://{store}")
    assert (code, "keeps no log of d/without-suite" in err) == (1, True)

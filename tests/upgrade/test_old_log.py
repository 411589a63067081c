"""Today's operator reads what each release left behind, and goes on from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from modelecology.api.population import Population
from modelecology.api.specialist import RevisionStatus, Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.governance.facts import RevisionRecord
from modelecology.governance.log import LogState, digest_of, fold
from modelecology.governance.succession import residents
from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE
from modelecology.kube.decisions import to_body, to_entry
from modelecology.reconcile.terms import policy_digest, revision_of, suite_digest

from ..reconcile.stage import CODE, NAMESPACE, Stage
from .freeze import freeze
from .releases import PLACE, Object, Release, releases
from .scenario import PLAYBOOK

KINDS = {k.kind: k for k in (SUITE, POPULATION, SPECIALIST, DECISION)}
AT_WORK = ("training", "evaluating", "waiting")
OTHER_CODE = "sha256:" + "d" * 64


@pytest.fixture(params=releases(), ids=lambda release: release.tag)
def release(request: pytest.FixtureRequest) -> Release:
    """Each frozen release."""
    found: Release = request.param
    return found


@pytest.fixture
async def stage(release: Release, tmp_path: Path) -> AsyncIterator[Stage]:
    """Today's operator over what the release left behind, at the moment when that was frozen."""
    found = await taken_over(release, tmp_path)
    yield found
    await found.runtime.close()


async def taken_over(release: Release, place: Path) -> Stage:
    """Lay out store, objects and log, and put today's operator before them; nothing is looked at yet."""
    release.unpack(place)
    stage = Stage(place)
    stage.clock.seconds = release.moment()
    stage.runner._effect = PLAYBOOK.effect
    for body in (*release.read_decisions(), *release.read_objects(place)):
        stage.cluster._store("create", "ADDED", KINDS[body["kind"]], body)
    stage.cluster.writes.clear()
    return stage


def log_of(release: Release) -> LogState:
    """Fold the release's log with today's code."""
    return fold(to_entry(d) for d in release.read_decisions())


def specialists(release: Release) -> list[Specialist]:
    """Read the release's specialists of the population that has a log."""
    found = (Specialist.model_validate(o) for o in _of_kind(release, "Specialist"))
    return [s for s in found if s.spec.population_ref.name == "desk"]


def population(release: Release) -> Population:
    """Read the release's population."""
    (found,) = (o for o in _of_kind(release, "Population") if o["metadata"]["name"] == "desk")
    return Population.model_validate(found)


def _of_kind(release: Release, kind: str) -> list[Object]:
    return [o for o in release.read_objects(Path(PLACE)) if o["kind"] == kind]


def test_the_log_is_whole_and_every_digest_is_right(release: Release) -> None:
    state = log_of(release)
    tip = population(release).status.last_decision
    assert tip is not None
    assert (state.sequence, state.digest) == (tip.sequence, tip.digest)
    for body in release.read_decisions():
        entry = to_entry(body)
        assert digest_of(entry) == entry.digest
        assert to_body(entry, "uid")["spec"] == body["spec"]


def test_the_fold_gives_the_statuses_that_the_release_wrote(release: Release) -> None:
    log = log_of(release)
    for specialist in specialists(release):
        record, status = log.specialists[specialist.metadata.uid], specialist.status
        for revision in (status.live, status.candidate, status.previous):
            assert revision is None or _same(record.revisions[revision.revision], revision)
        assert record.live == (status.live.revision if status.live else None)
        assert record.previous == (status.previous.revision if status.previous else None)
        assert record.spent.cost == status.ledger.cost
        assert record.spent.cpu_seconds == status.ledger.cpu_seconds
        assert record.last is not None
        assert status.last_decision is not None
        assert record.last.digest == status.last_decision.digest


def _same(record: RevisionRecord, status: RevisionStatus) -> bool:
    return (record.state, record.key, record.reason, record.served_name, record.entered) == (
        status.state,
        status.key,
        status.reason,
        status.served_name,
        status.since,
    )


def test_every_state_of_the_lifecycle_is_among_the_frozen_ones(release: Release) -> None:
    records = [r for s in log_of(release).specialists.values() for r in s.revisions.values()]
    assert len({r.state for r in records}) == 11


def test_digests_are_computed_as_the_release_computed_them(release: Release) -> None:
    """Else every verdict would be taken again after an upgrade, and every revision be another one."""
    desk = population(release)
    (suite,) = _of_kind(release, "EvaluationSuite")
    assert policy_digest(desk) == desk.status.policy_digest
    assert suite_digest(EvaluationSuite.model_validate(suite).spec) == desk.status.suite_digest
    for specialist in specialists(release):
        known = log_of(release).specialists[specialist.metadata.uid].revisions
        assert revision_of(specialist.spec, desk.spec.generalist.digest) in known


async def test_the_operator_goes_on_without_a_decision_that_nothing_asks_for(
    stage: Stage, release: Release
) -> None:
    before = {s.metadata.name: s.status for s in specialists(release)}
    await stage.settle(30.0, work=False)
    new = [b["spec"] for b in await stage.cluster.list(DECISION, NAMESPACE)][len(release.read_decisions()) :]
    asked = {(e["subject"]["specialist"], e["action"], e["reason"]) for e in new}
    # What the release had in shadow is proven anew, since it proved less; and one live member is superfluous.
    assert asked == {("held", "Reconsider", "PremisesChanged"), ("older", "Hold", "Dominated")}
    for name, status in before.items():
        if name in ("held", "older"):
            continue
        after = Specialist.model_validate(stage.get(name)).status
        assert (name, after.state) == (name, status.state)
        assert (after.live, after.candidate, after.previous) == (
            status.live,
            status.candidate,
            status.previous,
        )
        assert after.ledger == status.ledger
        reasons = [c.reason for c in after.conditions]
        # Invariants have no shadow split any more: the generalist answers their items once more.
        assert reasons in ([c.reason for c in status.conditions], ["BaselineRunning"] * len(reasons))
    assert all(name.startswith(("train-", "evaluate-")) for name in stage.runner.names())
    assert len(stage.runner.names()) <= 3
    resident = [r.served_name for r in residents(log_of(release))]
    assert stage.adapters() == [name for name in resident if not name.startswith("held-")]


@pytest.mark.parametrize("code", [CODE, OTHER_CODE], ids=["same workload", "new workload"])
async def test_what_was_at_work_comes_to_its_end(stage: Stage, release: Release, code: str) -> None:
    if code != CODE:
        await stage.restart(code)
    await stage.settle(120.0)
    for name in AT_WORK:
        assert stage.state(name).split()[0] == "Shelved", stage.state(name)
    assert stage.state("dates") == "Live Serving"
    assert stage.state("older") == "Live Serving"
    for name in AT_WORK:
        assert "Reconsider PremisesChanged" not in await stage.actions(name)
    log = await stage.log()
    assert log.sequence > log_of(release).sequence
    old = release.read_decisions()
    bodies = sorted(await stage.cluster.list(DECISION, NAMESPACE), key=lambda b: int(b["spec"]["sequence"]))
    assert [b["spec"] for b in bodies[: len(old)]] == [b["spec"] for b in old]


async def test_what_the_release_archived_is_restored(stage: Stage) -> None:
    await stage.settle()
    await stage.want("retired", "Live")
    await stage.settle()
    assert stage.state("retired") == "Live Serving"
    assert (await stage.actions("retired"))[-1] == "Restore Restored"


async def test_what_the_release_put_out_of_service_stays_out_and_a_person_can_ask_again(
    stage: Stage,
) -> None:
    await stage.settle()
    assert stage.state("quarantined") == "Quarantined FingerprintMismatch"
    patch = {"metadata": {"annotations": {"modelecology.io/retry": "ada@2026-03-02T18:00:00Z"}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "quarantined", patch)
    await stage.settle(60.0)
    assert "Retry RetryRequested" in await stage.actions("quarantined")


async def test_an_undo_window_that_began_before_the_upgrade_ends_with_the_files_gone(stage: Stage) -> None:
    await stage.settle()
    key = stage.status("retired")["previous"]["key"]
    store = stage.directory / "store"
    assert list(store.rglob(f"{key}*"))
    await stage.pass_time(timedelta(hours=25))
    assert stage.status("retired")["state"] == "Deleted"
    assert list(store.rglob(f"{key}*")) == []


async def test_a_release_can_be_frozen_and_is_read_as_the_frozen_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.upgrade.releases.HERE", tmp_path / "frozen")
    ours = Release("v9.9.9")
    await freeze(ours)
    assert releases() == (ours,)
    assert sorted(p.name for p in ours.root.iterdir()) == [
        "about.json",
        "crds",
        "decisions.json",
        "files.tar.xz",
        "objects.json",
    ]
    test_the_log_is_whole_and_every_digest_is_right(ours)
    test_the_fold_gives_the_statuses_that_the_release_wrote(ours)
    test_digests_are_computed_as_the_release_computed_them(ours)
    test_every_state_of_the_lifecycle_is_among_the_frozen_ones(ours)
    assert log_of(ours).spent.cost > Decimal(0)

"""The whole lifecycle by a real operator on a real API server, with doubles for Ray and the engine."""

from __future__ import annotations

from .desk import Desk


def test_every_outcome_of_the_control_point_is_reached(desk: Desk) -> None:
    desk.apply_all()
    desk.wait_states(
        dates="Live Serving",
        dates_hasty="Rejected HardInvariantFailure",
        capitals="Pending InsufficientEvidence",
        french="Shelved ProofNotPassed",
    )
    desk.kubectl("wait", "--for=condition=Ready", "sp/dates", "--timeout=90s")
    assert "everyday" in desk.condition("dates-hasty")["message"]
    assert desk.actions("capitals") == ["Hold InsufficientEvidence"]
    assert len(desk.trained()) == 3  # not capitals
    live = desk.status("dates")["live"]
    assert desk.engine.adapters() == [live["servedName"]]
    assert desk.store.verify(live["key"]).kind == "Train"
    desk.log()
    assert "Traceback" not in desk.operator.log()


def test_a_specialist_is_retired_by_its_target_and_restored_from_the_archive(desk: Desk) -> None:
    desk.apply_all()
    desk.wait_states(dates="Live Serving", french="Shelved", dates_hasty="Rejected")
    key, name = desk.key("dates"), desk.status("dates")["live"]["servedName"]
    trained = desk.trained()

    desk.want("dates", "Retired")
    desk.wait_states(dates="Retired Retired")
    desk.kubectl("wait", "--for=condition=Ready", "sp/dates", "--timeout=90s")
    desk.wait(lambda: desk.store.is_archived(key), "the archive")
    assert desk.engine.adapters() == []
    assert f"{name}: not listed, and a request for it is answered 404" in desk.operator.log()
    assert desk.status("dates")["expires"]
    assert desk.store.commit_of(key) is None

    desk.want("dates", "Live")
    desk.wait_states(dates="Live Serving")
    assert desk.engine.adapters() == [name]
    assert desk.store.commit_of(key) is not None
    assert desk.trained() == trained
    assert desk.actions("dates")[-2:] == ["Retire RetirementRequested", "Restore Restored"]
    assert desk.status("dates").get("expires") is None


def test_a_changed_source_must_earn_its_place_while_the_old_revision_serves(desk: Desk) -> None:
    desk.apply_all()
    desk.wait_states(dates="Live Serving")
    old = desk.status("dates")["live"]
    desk.runner.slow_down(60)
    desk.apply(desk.manifests.specialist("dates", "dates", 0.95, seed=7))
    desk.wait_states(dates="Training Training")
    assert desk.status("dates")["live"] == old
    assert desk.engine.adapters() == [old["servedName"]]
    desk.runner.slow_down(1)
    # Equal scores are no gain over the revision that serves, so the newer one is put by.
    desk.wait(lambda: desk.states()["dates"].startswith("Shelved"), "the verdict about the second revision")
    assert desk.status("dates")["live"] == old
    assert desk.engine.adapters() == [old["servedName"]]


def test_a_better_revision_supersedes_the_one_that_serves(desk: Desk) -> None:
    desk.apply(desk.manifests.suite(), desk.manifests.population())
    desk.apply(desk.manifests.specialist("plain", "dates", 0.6))
    desk.wait_states(plain="Live Serving")
    old = desk.status("plain")["live"]
    better = desk.manifests.specialist("plain", "dates", 0.9, seed=1000)
    desk.apply(better)
    desk.wait(lambda: desk.status("plain")["live"]["revision"] != old["revision"], "the next revision")
    new = desk.status("plain")["live"]
    desk.wait(lambda: desk.engine.adapters() == [new["servedName"]], "the old one unloaded")
    desk.wait(lambda: desk.store.is_archived(old["key"]), "the old one archived")
    assert "Retire Superseded" in desk.actions("plain")
    assert desk.status("plain")["previous"]["revision"] == old["revision"]
    desk.wait_states(plain="Live Serving")


def test_an_equal_key_is_adopted_and_not_trained_twice(desk: Desk) -> None:
    desk.apply(desk.manifests.suite(), desk.manifests.population())
    desk.apply(desk.manifests.specialist("dates", "dates", 0.6, seed=5))
    desk.wait_states(dates="Live Serving")
    desk.apply(desk.manifests.specialist("twin", "dates", 0.95, seed=5))
    desk.wait_states(twin="Shelved")
    assert len(desk.trained()) == 1
    assert "Evaluate ArtifactAdopted" in desk.actions("twin")
    assert desk.key("twin") == desk.key("dates")


def test_two_specialists_with_an_equal_key_at_once_share_one_training(desk: Desk) -> None:
    desk.runner.slow_down(5)
    desk.apply(
        desk.manifests.suite(),
        desk.manifests.population(),
        desk.manifests.specialist("dates", "dates", 0.6, seed=5),
        desk.manifests.specialist("twin", "dates", 0.6, seed=5),
    )
    desk.wait(
        lambda: sorted(s.partition(" ")[0] for s in desk.states().values()) == ["Live", "Shelved"],
        "an end for both",
    )
    assert len(desk.trained()) == 1


def test_a_retry_ends_as_a_decision_that_names_who_asked_and_is_served_once(desk: Desk) -> None:
    desk.apply(desk.manifests.suite(), desk.manifests.population())
    desk.apply(desk.manifests.specialist("dates-hasty", "dates", 0.6))
    desk.wait_states(dates_hasty="Rejected HardInvariantFailure")
    desk.patch(
        "specialist", "dates-hasty", {"metadata": {"annotations": {"modelecology.io/retry": "ada@noon"}}}
    )
    desk.wait(
        lambda: desk.actions("dates-hasty").count("Reject HardInvariantFailure") == 2, "another verdict"
    )
    asked = [d["spec"] for d in desk.decisions() if d["spec"]["reason"] == "RetryRequested"]
    assert [a["actor"] for a in asked] == ["ada@noon"]
    desk.operator.kill()
    desk.operator.start()
    desk.operator.wait_ready()
    desk.want("dates-hasty", "Shadow")  # makes the next operator look at it
    desk.wait(lambda: desk.status("dates-hasty")["observedGeneration"] == 2, "a look")
    assert desk.actions("dates-hasty").count("Retry RetryRequested") == 1


def test_a_specialist_held_in_shadow_is_ready_there_and_goes_live_when_asked(desk: Desk) -> None:
    desk.apply(desk.manifests.suite(), desk.manifests.population())
    held = desk.manifests.specialist("dates", "dates", 0.6)
    held["spec"]["lifecycle"] = {"target": "Shadow"}
    desk.apply(held)
    desk.wait_states(dates="Shadow ShadowHeld")
    assert desk.condition("dates")["status"] == "True"
    desk.want("dates", "Live")
    desk.wait_states(dates="Live Serving")

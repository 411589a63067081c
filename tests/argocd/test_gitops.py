"""A population in git: real Argo CD, real API server, real operator; doubles of Ray and the engine."""

from __future__ import annotations

import random
import time

import pytest

from testbed.argocd import ArgoCDFailed
from testbed.controlplane import ControlPlane
from testbed.pretend_desk import Manifest

from .garden import Garden
from .soak import Soak

SLOW = 8  # steps of the doubles' clock for one job, so that states are seen


def dates(garden: Garden, target: str | None = None) -> Manifest:
    """A specialist that goes live; with a target, git says that too."""
    found = garden.desk.manifests.specialist("dates", "dates", 0.6)
    if target is not None:
        found["spec"]["lifecycle"] = {"target": target}
    return found


def test_an_application_is_progressing_while_it_trains_and_healthy_when_all_is_live(garden: Garden) -> None:
    garden.desk.runner.slow_down(SLOW)
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    assert garden.chronicle.healths()[-2:] == ["Progressing", "Healthy"]
    assert len(garden.desk.engine.adapters()) == 1
    ready = garden.desk.condition("desk", "population")
    created = garden.desk.get("specialist", "dates")["metadata"]["creationTimestamp"]
    assert ready["lastTransitionTime"] <= created  # the second wave waited for the first
    assert not garden.chronicle.flaps()


def test_decisions_are_shown_below_their_population_and_neither_compared_nor_pruned(
    settled: Garden,
) -> None:
    sequence = settled.desk.log().sequence
    assert sequence > 0
    kinds = {name.partition("/")[0] for name in settled.resources()}
    assert kinds == {"EvaluationSuite", "Population", "Specialist"}
    tree = settled.argocd.run("app", "get", settled.name, "--output=tree")
    assert tree.count("Decision/desk-") == sequence


def test_health_tells_a_broken_invariant_from_a_wait_for_evidence(garden: Garden) -> None:
    manifests = garden.desk.manifests
    garden.plant(dates(garden), manifests.specialist("dates-hasty", "dates", 0.95))
    garden.wait_health("Degraded")
    garden.desk.wait_states(dates="Live Serving", dates_hasty="Rejected")
    resources = garden.resources()
    assert resources["Specialist/dates-hasty"][0] == "Degraded"
    assert "Hard invariant failure" in resources["Specialist/dates-hasty"][1]
    assert resources["Specialist/dates"][0] == "Healthy"
    capitals = manifests.specialist("capitals", "capitals", 0.85)
    garden.push("Another one instead", capitals, without=("specialist-dates-hasty.yaml",))
    garden.wait_health("Suspended")
    health, message = garden.resources()["Specialist/capitals"]
    assert health == "Suspended"
    assert "Insufficient evidence" in message
    assert garden.desk.get("specialist", "dates-hasty") == {}


def test_a_changed_spec_in_git_is_a_new_revision_and_the_old_one_serves_until_it_is_live(
    garden: Garden,
) -> None:
    manifests = garden.desk.manifests
    garden.plant(manifests.specialist("plain", "dates", 0.6))
    garden.wait_health("Healthy")
    before = garden.desk.status("plain")["live"]["servedName"]
    garden.push("Another seed", manifests.specialist("plain", "dates", 0.6, seed=1000))
    garden.desk.wait(lambda: garden.desk.status("plain")["live"]["servedName"] != before, "another revision")
    garden.wait_health("Healthy")
    after = garden.desk.status("plain")["live"]["servedName"]
    garden.desk.wait(lambda: garden.desk.engine.adapters() == [after], "the old one to go")
    events = garden.desk.engine.events()
    assert events.index(f"load {after}") < events.index(f"unload {before}")
    assert garden.desk.get("specialist", "plain")["metadata"]["generation"] == 2
    assert not garden.chronicle.flaps()


def test_pruning_a_specialist_unloads_it_and_then_its_object_goes(garden: Garden) -> None:
    garden.plant(dates(garden), garden.desk.manifests.specialist("capitals", "capitals", 0.85))
    garden.wait_health("Suspended")
    key = garden.desk.key("dates")
    garden.push("Without dates", without=("specialist-dates.yaml",))
    garden.wait(lambda: garden.desk.get("specialist", "dates") == {}, "the end of the object")
    assert garden.desk.engine.adapters() == []
    assert garden.desk.store.commit_of(key) is None
    assert not garden.desk.store.is_archived(key)
    assert garden.desk.actions("dates")[-1] == "Delete Deleted"
    released = [e["note"] for e in garden.desk.events("dates") if "without proof" in e["note"]]
    assert not released


def test_a_hand_that_edits_the_spec_is_undone_and_seen_as_the_one_flap(garden: Garden) -> None:
    garden.plant(dates(garden, "Live"))
    garden.wait_health("Healthy")
    garden.desk.patch("specialist", "dates", {"spec": {"contract": {"owner": "somebody"}}})
    garden.wait(lambda: len(garden.chronicle.flaps()) == 1, "the flap")
    garden.wait_health("Healthy")
    assert garden.desk.get("specialist", "dates")["spec"]["contract"]["owner"] == "testers"


def test_the_operator_owns_a_finalizer_and_the_status_and_no_field_of_the_spec(settled: Garden) -> None:
    assert settled.writers("dates") == {
        "argocd-controller": {"metadata.annotations", "spec"},
        "modelecology": {"metadata.finalizers", "status"},
    }


def test_a_person_retries_through_argo_cd_and_the_decision_says_so(garden: Garden) -> None:
    garden.plant(garden.desk.manifests.specialist("dates-hasty", "dates", 0.6))
    garden.wait_health("Degraded")
    assert garden.actions("dates-hasty") == ["retire", "retry"]
    garden.act("retry", "dates-hasty")
    garden.wait(lambda: "Retry RetryRequested" in garden.desk.actions("dates-hasty"), "the retry")
    (actor,) = (d["spec"]["actor"] for d in garden.desk.decisions() if d["spec"]["action"] == "Retry")
    assert actor.startswith("argocd@20")
    garden.desk.wait(
        lambda: garden.desk.actions("dates-hasty").count("Reject HardInvariantFailure") == 2, "its end"
    )
    garden.wait_health("Degraded")
    assert not garden.chronicle.flaps()


def test_a_candidate_waits_suspended_for_a_person_and_goes_live_when_approved(garden: Garden) -> None:
    garden.plant(dates(garden), promotion={"mode": "Manual"})
    garden.wait_health("Suspended")
    health, message = garden.resources()["Specialist/dates"]
    assert health == "Suspended"
    assert "passed every check" in message
    assert garden.actions("dates") == ["approve", "quarantine", "retire"]
    garden.act("approve", "dates")
    garden.wait_health("Healthy")
    (actor,) = (d["spec"]["actor"] for d in garden.desk.decisions() if d["spec"]["action"] == "Promote")
    assert actor.startswith("argocd@20")
    clicked = [e["note"] for e in garden.desk.events("dates") if e["reason"] == "ResourceActionRan"]
    assert clicked == ["admin ran action approve"]
    assert garden.chronicle.healths()[-2:] == ["Suspended", "Healthy"]
    assert not garden.chronicle.flaps()


def test_retire_and_restore_hold_where_git_leaves_the_target_out(garden: Garden) -> None:
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    served = garden.desk.engine.adapters()
    assert garden.actions("dates") == ["quarantine", "retire"]
    garden.act("retire", "dates")
    garden.desk.wait_states(dates="Retired Retired")
    garden.wait_health("Healthy")
    assert garden.desk.engine.adapters() == []
    assert garden.actions("dates") == ["restore"]
    garden.refresh()
    garden.act("restore", "dates")
    garden.desk.wait_states(dates="Live Serving")
    garden.wait_health("Healthy")
    assert garden.desk.engine.adapters() == served
    assert not garden.chronicle.flaps()


def test_git_wins_over_an_action_where_it_says_the_target(garden: Garden) -> None:
    garden.plant(dates(garden, "Live"))
    garden.wait_health("Healthy")
    garden.act("retire", "dates")
    garden.wait(lambda: garden.desk.get("specialist", "dates")["metadata"]["generation"] == 3, "the healing")
    garden.desk.wait_states(dates="Live Serving")
    garden.wait_health("Healthy")
    assert len(garden.chronicle.flaps()) == 1
    garden.push("Retire it", dates(garden, "Retired"))
    garden.desk.wait_states(dates="Retired Retired")
    garden.wait_health("Healthy")


def test_an_action_that_does_not_apply_is_refused_in_words(settled: Garden) -> None:
    for action, words in (
        ("approve", "Nothing of dates waits for approval"),
        ("retry", "dates is Live; only what has stopped can be tried again"),
        ("release", "dates is Live; only what is Quarantined can be released"),
    ):
        with pytest.raises(ArgoCDFailed, match=words):
            settled.act(action, "dates")


def test_a_retirement_in_git_does_not_wait_for_an_engine_that_is_down(garden: Garden) -> None:
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    garden.desk.engine.go_down()
    garden.wait_health("Degraded")
    assert garden.resources()["Population/desk"][0] == "Degraded"
    garden.push("Retire it", dates(garden, "Retired"))
    assert garden.desk.get("specialist", "dates")["spec"]["lifecycle"]["target"] == "Retired"
    garden.desk.engine.come_back()
    garden.desk.wait_states(dates="Retired Retired")
    garden.wait_health("Healthy")


def test_another_suite_takes_the_place_of_the_old_one_which_goes_last(garden: Garden) -> None:
    manifests = garden.desk.manifests
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    suite, population = manifests.suite(), manifests.population()
    suite["metadata"]["name"] = population["spec"]["suiteRef"]["name"] = "desk-2"
    suite["spec"]["shadowShare"] = 0.3
    garden.push("Another suite", suite, population, without=("evaluationsuite-desk.yaml",))
    garden.wait_health("Healthy")
    assert [body["metadata"]["name"] for body in garden.desk.all_of("evaluationsuites")] == ["desk-2"]
    assert garden.desk.states() == {"dates": "Live Serving"}
    assert "SuiteNotFound" not in {event["reason"] for event in garden.desk.events("desk")}


def test_a_population_that_a_commit_loses_stays_and_so_does_its_log(garden: Garden) -> None:
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    lost = garden.commit("No population", without=("population-desk.yaml",))
    garden.refresh()

    def kept() -> bool:
        operation = garden.get()["status"].get("operationState", {})
        return (operation.get("phase"), operation.get("syncResult", {}).get("revision")) == (
            "Succeeded",
            lost,
        )

    garden.wait(kept, "a sync that prunes nothing")
    assert garden.synced() == ""
    assert "deletionTimestamp" not in garden.desk.get("population", "desk")["metadata"]
    garden.push("Here it is again", garden.desk.manifests.population())
    garden.wait_health("Healthy")
    assert garden.desk.states() == {"dates": "Live Serving"}


def test_deleting_the_application_waits_for_a_yes_then_unloads_everything_and_leaves_nothing(
    garden: Garden,
) -> None:
    garden.plant(dates(garden))
    garden.wait_health("Healthy")
    garden.argocd.kubectl("delete", "application", garden.name, "--wait=false")
    garden.wait(lambda: garden.told("requires manual confirmation to delete"), "a question")
    assert garden.desk.states() == {"dates": "Live Serving"}
    garden.remove()
    for plural in ("specialists", "populations", "evaluationsuites"):
        assert garden.desk.all_of(plural) == []
    assert garden.desk.engine.adapters() == []
    garden.desk.wait(lambda: garden.desk.decisions() == [], "the garbage collector")


def test_nothing_fights_while_everything_happens_once(garden: Garden, plane: ControlPlane) -> None:
    soak = Soak(garden, random.Random(1))
    soak.start()
    started = time.monotonic()
    soak.run(seconds=0.0)
    found = soak.findings(time.monotonic() - started, plane.audit_log)
    print(found.text)
    assert (found.flaps, found.gaps, found.spec_writes) == (0, 0, 0)
    assert sum(found.argocd_writes.values()) == found.changes
    assert set(found.operator_writes) <= {
        "create decisions",
        "patch populations",  # the finalizer
        "patch populations/status",
        "patch specialists",  # the finalizer
        "patch specialists/status",
    }

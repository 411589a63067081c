"""Deletion: proof where there can be one, and an end in time where there cannot."""

from __future__ import annotations

from .desk import Desk


def live_dates(desk: Desk) -> tuple[str, str]:
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    desk.wait_states(dates="Live Serving")
    live = desk.status("dates")["live"]
    return live["key"], live["servedName"]


def test_a_deleted_specialist_is_unloaded_and_its_artifact_deleted_before_it_goes(desk: Desk) -> None:
    key, name = live_dates(desk)
    desk.kubectl("delete", "specialist", "dates", "--timeout=60s")
    assert desk.engine.adapters() == []
    assert desk.store.commit_of(key) is None
    assert not desk.store.is_archived(key)
    assert desk.actions("dates")[-1] == "Delete Deleted"
    assert f"{name}: not listed" in desk.operator.log()


def test_a_specialist_in_training_can_be_deleted_and_its_job_is_ended(desk: Desk) -> None:
    desk.apply(desk.manifests.suite(), desk.manifests.population())
    desk.wait_reason("desk", "Ready", "population")
    desk.runner.slow_down(100_000)
    desk.apply(desk.manifests.specialist("dates", "dates", 0.6))
    desk.wait_states(dates="Training Training")
    (job,) = desk.runner.unfinished()
    desk.operator.kill()  # its successor must find the job to end it
    desk.operator.start()
    desk.operator.wait_ready()
    desk.kubectl("delete", "specialist", "dates", "--timeout=60s")
    assert desk.runner.cancels(job) == 1
    assert not desk.trained()


def test_with_the_runner_gone_a_specialist_can_be_deleted(desk: Desk) -> None:
    key, _ = live_dates(desk)
    desk.runner.go_down()
    desk.kubectl("delete", "specialist", "dates", "--timeout=60s")
    assert desk.engine.adapters() == []
    assert desk.store.commit_of(key) is None


def test_a_deleted_population_takes_its_adapters_off_the_engines(desk: Desk) -> None:
    live_dates(desk)
    desk.kubectl("delete", "population", "desk", "--timeout=60s")
    assert desk.engine.adapters() == []
    desk.wait_reason("dates", "PopulationNotFound")
    assert desk.states()["dates"].startswith("Pending")
    desk.kubectl("delete", "specialist", "dates", "--timeout=60s")

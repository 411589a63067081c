"""What is missing or wrong is said with its remedy, and the operator goes on by itself when it is mended."""

from __future__ import annotations

from .desk import Desk


def test_a_population_and_a_suite_that_appear_late_are_waited_for(desk: Desk) -> None:
    desk.apply(desk.manifests.specialist("dates", "dates", 0.6))
    said = desk.wait_reason("dates", "PopulationNotFound")
    assert "Create the Population" in said["message"]
    desk.apply(desk.manifests.population())
    said = desk.wait_reason("dates", "SuiteNotFound")
    assert "Create the EvaluationSuite" in said["message"]
    desk.wait_reason("desk", "SuiteNotFound", "population")
    desk.apply(desk.manifests.suite())
    desk.wait_states(dates="Live Serving")
    reasons = [e["reason"] for e in desk.events("dates")]
    assert reasons.count("PopulationNotFound") == 1
    assert reasons.count("SuiteNotFound") == 1


def test_a_task_that_the_suite_lacks_and_a_rank_above_capacity_are_named(desk: Desk) -> None:
    wide = desk.manifests.specialist("wide", "dates", 0.6)
    wide["spec"]["source"]["train"]["lora"] = {"rank": 128}
    desk.apply(
        desk.manifests.suite(),
        desk.manifests.population(),
        desk.manifests.specialist("poems", "poems", 0.6),
        wide,
    )
    assert "no task 'poems'" in desk.wait_reason("poems", "TaskNotInSuite")["message"]
    said = desk.wait_reason("wide", "RankAboveCapacity")["message"]
    assert "128" in said
    assert "maxRank" in said
    assert desk.condition("wide", of="Degraded")["status"] == "True"
    desk.wait(lambda: "RankAboveCapacity" in [e["reason"] for e in desk.events("wide")], "an Event")
    assert not desk.trained()
    wide["spec"]["source"]["train"]["lora"] = {"rank": 8}
    desk.apply(wide)
    desk.wait(lambda: "Propose GapProven" in desk.actions("wide"), "a proposal")


def test_a_runner_that_is_down_is_told_once_and_everything_goes_on_when_it_is_back(desk: Desk) -> None:
    desk.runner.go_down()
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    said = desk.wait_reason("desk", "RunnerUnavailable", "population")
    assert "Start it or mend spec.jobs.ray.address" in said["message"]
    desk.runner.come_back()
    desk.wait_states(dates="Live Serving")
    told = [e for e in desk.events("desk") if e["reason"] == "RunnerUnavailable"]
    assert len(told) == 1
    assert told[0]["type"] == "Warning"
    assert "Traceback" not in desk.operator.log()


def test_an_engine_that_is_down_is_told_and_its_adapters_are_back_and_proved_when_it_is(desk: Desk) -> None:
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    desk.wait_states(dates="Live Serving")
    name = desk.status("dates")["live"]["servedName"]
    desk.engine.go_down()
    said = desk.wait_reason("dates", "EngineUnreachable")
    assert said["status"] == "False"
    assert "Start it or mend serving.endpoints" in said["message"]
    desk.wait_reason("desk", "EngineUnreachable", "population")
    desk.engine.restart()
    desk.engine.come_back()
    desk.wait_states(dates="Live Serving")
    desk.wait_reason("desk", "Ready", "population")
    assert desk.engine.events() == [f"load {name}", f"load {name}"]
    assert desk.operator.log().count(f"proof {name}: 8 of 8") == 2
    assert [e["reason"] for e in desk.events("dates")].count("EngineUnreachable") == 1
    assert "Traceback" not in desk.operator.log()


def test_an_engine_that_lost_its_adapters_gets_them_back(desk: Desk) -> None:
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    desk.wait_states(dates="Live Serving")
    name = desk.status("dates")["live"]["servedName"]
    desk.engine.restart()
    desk.wait(lambda: desk.engine.events() == [f"load {name}", f"load {name}"], "a second load")
    desk.wait_states(dates="Live Serving")


def test_an_engine_that_answers_as_the_base_gets_the_adapter_quarantined(desk: Desk) -> None:
    desk.engine.lie()
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    desk.wait_states(dates="Quarantined FingerprintMismatch")
    assert "8 as the base" in desk.condition("dates")["message"]
    desk.wait(lambda: desk.engine.adapters() == [], "an empty engine")


def test_a_store_that_is_not_there_is_told_and_waited_for(desk: Desk) -> None:
    store = desk.manifests.directory / "store"
    aside = desk.manifests.directory / "aside"
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )
    desk.wait_states(dates="Live Serving")
    name = desk.status("dates")["live"]["servedName"]
    store.rename(aside)
    said = desk.wait_reason("desk", "StoreUnavailable", "population")
    assert str(store) in said["message"]
    assert desk.engine.adapters() == [name]  # what is served is left alone
    aside.rename(store)
    desk.wait_reason("desk", "Ready", "population")
    desk.wait_states(dates="Live Serving")
    assert desk.engine.events() == [f"load {name}"]
    assert "Traceback" not in desk.operator.log()

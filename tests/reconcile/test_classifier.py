"""A classifier from the operator's side: measured, routed by once it is right, shown, and charged."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.live_records import Checked, LiveRecord, Usage, Used
from modelecology.api.routing import classifier_mark
from modelecology.governance.replay import replay
from modelecology.governance.situations import Judgement, inputs_of
from modelecology.kube.cluster import DECISION, POPULATION
from modelecology.kube.decisions import to_entry
from modelecology.reconcile.usage import MOST_HOURS, UsageLog
from modelecology.serving.gateway.plan import Facts, plan
from modelecology.serving.gateway.route import Route, route
from modelecology.serving.gateway.word import Word

from .gateway import Gateway, desk, matching, table
from .stage import NAMESPACE, Stage

EXAMPLES = [{"example": "which day is the first of May?"}, {"example": "write it as ISO 8601"}]
CLASSIFIER = {"endpoint": "http://embed:8000", "model": "m", "minimumSimilarity": 0.6}


class Checking(Gateway):
    """A gateway whose classifier is checked, too."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.stage = stage

    def write(self, *records: LiveRecord) -> None:
        """Write down what a gateway would."""
        self._write(*records)

    async def check(self, *said: tuple[str | None, str | None, int]) -> None:
        """Count what the classifier of the table says, and let the hour end."""
        mark = mark_of(self.stage)
        checked = tuple(
            Checked(classifier=mark, task=task, said=word, requests=number) for task, word, number in said
        )
        now = self.stage.runtime.now().timestamp()
        self._write(Usage(since=now, time=now + 1, population="desk", checked=checked))
        await self.stage.pass_time(timedelta(hours=1, minutes=3))


def mark_of(stage: Stage) -> str:
    found = table(stage)
    assert found.classifier is not None
    return classifier_mark(found.classifier, found.rules)


def body_of(stage: Stage, gateway: Gateway, classifier: dict[str, Any] | None = None, **policy: Any) -> Any:
    settings = {"records": f"file://{gateway.folder}", "classifier": {**CLASSIFIER, **(classifier or {})}}
    return desk(stage, settings, **policy)


async def classified(stage: Stage, **policy: Any) -> Checking:
    """Bring `dates` live, with examples and a classifier that nothing is known of."""
    gateway = Checking(stage)
    await stage.apply(
        stage.manifests.suite(),
        body_of(stage, gateway, **policy),
        matching(stage, "dates", "dates", {"keyword": "deadline"}, *EXAMPLES),
    )
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    return gateway


def routed(stage: Stage) -> tuple[str, ...]:
    found = table(stage).classifier
    assert found is not None
    return found.tasks


def asked(stage: Stage) -> Route:
    """Route a request that the classifier takes for one of dates, as a gateway with this table does."""
    word = Word(mark_of(stage), "dates", "rules[1] Example", 0.9)
    return route(plan(table(stage)), Facts("desk", "what day is it?"), "u", word)


async def test_a_task_is_reached_by_the_classifier_after_measured_checks_and_not_before(stage: Stage) -> None:
    gateway = await classified(stage)
    assert [(rule.by, rule.value) for rule in table(stage).rules] == [
        ("Keyword", "deadline"),
        *(("Example", each["example"]) for each in EXAMPLES),
    ]
    assert routed(stage) == ()
    assert asked(stage).reason == "ClassifierUnproven"
    await gateway.check(("dates", "dates", 60))
    assert routed(stage) == ()  # fewer than minimumChecked
    await gateway.check(("dates", "dates", 60), (None, None, 200))
    assert routed(stage) == ("dates",)
    found = asked(stage)
    live = stage.status("dates")["live"]["servedName"]
    assert (found.target, found.reason, found.rule) == (live, "Live", "rules[1] Example")
    (row,) = stage.status("desk", POPULATION)["classifier"]["tasks"]
    assert (row["task"], row["right"], row["routed"]) == ("dates", 120, True)
    assert row["accuracy"] > 0.9


async def test_strangers_and_requests_that_go_elsewhere_close_it_again(stage: Stage) -> None:
    gateway = await classified(stage)
    await gateway.check(("dates", "dates", 200))
    assert routed(stage) == ("dates",)
    await gateway.check(("french", "dates", 20), (None, "dates", 21))
    assert routed(stage) == ()
    status = stage.status("desk", POPULATION)["classifier"]
    (row,) = status["tasks"]
    assert (row["right"], row["strangers"], row["elsewhere"], row["routed"]) == (200, 41, 0, False)
    assert status["mistaken"] == [
        {"task": None, "takenFor": "dates", "requests": 21},
        {"task": "french", "takenFor": "dates", "requests": 20},
    ]


async def test_another_example_or_model_has_to_be_measured_anew(stage: Stage) -> None:
    gateway = await classified(stage)
    await gateway.check(("dates", "dates", 200))
    before = mark_of(stage)
    await stage.apply(body_of(stage, gateway, {"sample": 0.5, "minimumChecked": 150}))
    await stage.settle(5.0)
    assert (mark_of(stage), routed(stage)) == (before, ("dates",))
    await stage.apply(body_of(stage, gateway, {"model": "other"}))
    await stage.settle(5.0)
    assert mark_of(stage) != before
    assert routed(stage) == ()
    await stage.apply(body_of(stage, gateway))
    await stage.settle(5.0)
    assert routed(stage) == ("dates",)
    await stage.apply(matching(stage, "dates", "dates", {"keyword": "deadline"}, *EXAMPLES[:1]))
    await stage.settle(5.0)
    assert routed(stage) == ()


async def test_an_operator_that_starts_anew_takes_nothing_back(stage: Stage) -> None:
    gateway = await classified(stage)
    await gateway.check(("dates", "dates", 200))
    writes = [w.verb for w in stage.cluster.writes if w.kind == "ConfigMap"]
    await stage.restart()
    await stage.settle(60.0)
    assert routed(stage) == ("dates",)
    assert [w.verb for w in stage.cluster.writes if w.kind == "ConfigMap"] == writes


async def test_what_goes_astray_is_charged_to_the_task_that_it_is_routed_to(stage: Stage) -> None:
    gateway = await classified(stage)
    (member,) = stage.status("desk", POPULATION)["members"]
    await gateway.check(("dates", "dates", 200))
    status = stage.status("desk", POPULATION)
    (row,) = status["classifier"]["tasks"]
    assert row["misrouting"] == pytest.approx(1 - row["accuracy"], rel=0.05)
    (after,) = status["members"]
    share = Decimal(str(1 - row["misrouting"]))
    assert abs(Decimal(after["point"]) - share * Decimal(member["point"])) < Decimal(
        "0.01"
    ) * share * Decimal(member["point"])


async def test_where_traffic_is_measured_only_what_the_classifier_sent_is_charged(stage: Stage) -> None:
    gateway = await classified(stage, viability={"measuredOver": "3h"})
    name = stage.status("dates")["live"]["servedName"]
    await gateway.check(("dates", "dates", 200))
    await gateway.count(4, Used(task="dates", served=name, requests=100, tokens=0, classified=50))
    (row,) = stage.status("desk", POPULATION)["classifier"]["tasks"]
    assert row["misrouting"] == pytest.approx(0.5 * (1 - row["accuracy"]), rel=0.1)
    await gateway.count(4, Used(task="dates", served=name, requests=100, tokens=0))
    (row,) = stage.status("desk", POPULATION)["classifier"]["tasks"]
    assert row["misrouting"] == 0.0


async def test_examples_where_there_is_no_classifier_are_told_and_left_out(stage: Stage) -> None:
    await stage.apply(
        stage.manifests.suite(),
        desk(stage),
        matching(stage, "dates", "dates", {"keyword": "deadline"}, *EXAMPLES),
    )
    await stage.settle()
    found = table(stage)
    assert [rule.value for rule in found.rules] == ["deadline"]
    assert found.classifier is None
    (said,) = (c for c in stage.status("dates")["conditions"] if c["type"] == "MatchRefused")
    assert said["reason"] == "ClassifierMissing"
    assert said["message"].startswith("spec.contract.match[1].example: Population desk has no classifier. ")
    assert "classifier" not in stage.status("desk", POPULATION)
    assert stage.state("dates") == "Live Serving"


async def test_a_verdict_under_a_charge_is_made_again_from_its_inputs(stage: Stage) -> None:
    gateway = await classified(stage)
    await gateway.check(("dates", "dates", 200))
    await stage.apply(stage.manifests.specialist("capitals", "capitals", 0.6))
    await stage.settle()
    found = [to_entry(body) for body in await stage.cluster.list(DECISION, NAMESPACE)]
    mine = [entry for entry in found if entry.subject.specialist == "capitals"]
    assert mine
    charged = set()
    for entry in mine:
        inputs = inputs_of(str(entry.premises.inputs), stage.store.inputs.read)
        assert replay(entry, inputs) == (), entry.sequence
        if isinstance(inputs.made, Judgement):
            charged |= {(t.name, t.misrouting > 0) for t in inputs.made.situation.tasks}
    assert ("dates", True) in charged
    assert ("dates", False) not in charged


def test_checks_are_summed_by_classifier_over_the_hours_that_have_ended() -> None:
    log = UsageLog()

    def add(hour: int, mark: str, said: str | None, number: int) -> None:
        checked = Checked(classifier=mark * 16, task="dates", said=said, requests=number)
        log.add(Usage(since=hour * 3600.0, time=hour * 3600.0, population="desk", checked=(checked,)))

    add(1, "a", "dates", 3)
    add(2, "a", "dates", 4)
    add(2, "b", "dates", 50)
    add(3, "a", None, 5)
    assert log.checks("a" * 16, 3) == {("dates", "dates"): 7}
    assert log.checks("a" * 16, 4) == {("dates", "dates"): 7, ("dates", None): 5}
    assert log.checks("c" * 16, 4) == {}
    add(2, "a", "dates", 1)  # it came late
    assert log.checks("a" * 16, 3) == {("dates", "dates"): 8}
    for hour in range(5, 5 + MOST_HOURS):
        add(hour, "b", None, 1)
    assert log.checks("a" * 16, 5) == {}  # so long ago that it is forgotten

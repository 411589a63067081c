"""The classifier in the gateway: who is routed by it, who falls back and why, and how it is checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.live_records import Checked, Usage
from modelecology.api.routing import RouteReason, TableUnreadable, classifier_mark, read_table
from modelecology.serving.gateway.app import Limits
from modelecology.serving.gateway.checks import Checks
from modelecology.serving.gateway.classifier import Classifier
from modelecology.serving.gateway.counts import Counts
from modelecology.serving.gateway.embedder import EmbedderAway, Place, RuleEmbedder, Vector
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.plan import Facts, Plan, Rule, plan
from modelecology.serving.gateway.route import Route, route
from modelecology.serving.gateway.word import Word
from tests.serving.gateway.meaning import EXAMPLES, classifier_of, meaning
from tests.serving.gateway.stage import LIVE, Engine, Stage, engine_listening, staged, table, until

DATE = "what day is it?"
CRON = "run it every hour"
SONG = "sing me a song"
RULES = [{"task": "dates", "by": "Keyword", "value": "deadline"}, *EXAMPLES]
ROUTES = [{"task": "dates", "specialist": "dater", "live": LIVE}, {"task": "cron", "specialist": "crons"}]


class Broken:
    """Embeds the examples, and then nothing."""

    async def embed(self, place: Place, texts: Sequence[str], seconds: float) -> Sequence[Vector]:
        if not set(texts) <= {rule["value"] for rule in EXAMPLES}:
            raise EmbedderAway("HTTP 500")
        return [meaning(text) for text in texts]

    async def close(self) -> None:
        """End well."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with (
        engine_listening(Engine()) as engine,
        staged([engine], embedder=RuleEmbedder(meaning), limits=Limits(classifier_seconds=30.0)) as found,
    ):
        yield found


async def ready(stage: Stage, version: int = 1, **classifier: Any) -> None:
    """Publish a table with a classifier, and wait until its examples are embedded."""
    stage.publish(version, classifier=classifier_of(**classifier), rules=RULES, routes=ROUTES)

    async def classifies() -> bool:
        _, _, headers = await stage.ask("desk", DATE)
        return headers["x-modelecology-reason"] != "ClassifierAway"

    await until(classifies)


async def reason(stage: Stage, model: str, text: str) -> tuple[str, str | None, str | None]:
    status, _, headers = await stage.ask(model, text)
    assert status == 200
    found = headers.get
    return headers["x-modelecology-reason"], found("x-modelecology-task"), found("x-modelecology-rule")


async def test_what_no_rule_matches_goes_to_the_task_whose_example_it_is_like(stage: Stage) -> None:
    await ready(stage)
    status, body, headers = await stage.ask("desk", DATE)
    assert (status, body["model"]) == (200, LIVE)
    assert headers["x-modelecology-reason"] == "Live"
    assert headers["x-modelecology-task"] == "dates"
    assert headers["x-modelecology-rule"] == "rules[1] Example"
    assert headers["x-modelecology-similarity"] == "1.000"
    assert stage.count("classified_total", outcome="routed") >= 1


async def test_a_rule_goes_first_and_the_classifier_is_not_asked(stage: Stage) -> None:
    await ready(stage)
    before = stage.count("classified_total", outcome="routed")
    _, _, headers = await stage.ask("desk", f"the deadline, {CRON}")
    assert headers["x-modelecology-rule"] == "rules[0] Keyword"
    assert "x-modelecology-similarity" not in headers
    assert stage.count("classified_total", outcome="routed") == before


@pytest.mark.parametrize("text", [DATE, f"the deadline, {CRON}"])
async def test_the_rules_are_tried_once_a_request(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    await ready(stage)
    tried: list[Facts] = []
    rule_of = Plan.rule_of

    def counted(self: Plan, facts: Facts) -> Rule | None:
        tried.append(facts)
        return rule_of(self, facts)

    monkeypatch.setattr(Plan, "rule_of", counted)
    assert (await stage.ask("desk", text))[1]["model"] == LIVE
    assert [facts.text for facts in tried] == [text]


async def test_each_way_to_fall_back_has_its_own_reason(stage: Stage) -> None:
    await ready(stage)
    assert await reason(stage, "desk", SONG) == ("NothingSimilar", None, None)
    assert await reason(stage, "desk", CRON) == ("ClassifierUnproven", None, None)
    await ready(stage, 2, tasks=["dates", "cron"])
    assert await reason(stage, "desk", CRON) == ("NoLiveRevision", "cron", "rules[3] Example")
    await ready(stage, 3, tasks=[])
    assert await reason(stage, "desk", DATE) == ("ClassifierUnproven", None, None)
    for name in ("NothingSimilar", "ClassifierUnproven"):
        assert stage.count("fallbacks_total", model="none", reason=name) >= 1


async def test_where_nothing_is_proven_nobody_waits_for_it(stage: Stage) -> None:
    await ready(stage, tasks=[])
    await stage.ask("desk", DATE)
    for outcome in ("routed", "unproven", "not_similar", "slow", "broken", "resting", "unready"):
        assert stage.count("classified_total", outcome=outcome) == 0


async def test_one_that_breaks_sends_users_to_the_fallback_and_fails_nobody() -> None:
    async with engine_listening(Engine()) as engine, staged([engine], embedder=Broken()) as stage:
        stage.publish(classifier=classifier_of(), rules=RULES, routes=ROUTES)
        for _ in range(5):
            status, body, headers = await stage.ask("desk", DATE)
            assert (status, body["model"]) == (200, "generalist")
            assert headers["x-modelecology-reason"] == "ClassifierAway"
        stage.publish(2, classifier=classifier_of(), rules=RULES, routes=ROUTES, fallback="Error")
        status, body, _ = await stage.ask("desk", DATE)
        assert status == 503
        assert "the classifier does not answer now" in body["error"]["message"]


async def test_with_errors_as_fallback_what_is_like_nothing_is_refused_as_what_no_rule_matches(
    stage: Stage,
) -> None:
    await ready(stage)
    stage.publish(2, classifier=classifier_of(), rules=RULES, routes=ROUTES, fallback="Error")
    for text in (SONG, CRON):
        status, body, _ = await stage.ask("desk", text)
        assert (status, "Name a task" in body["error"]["message"]) == (404, True)


def usage(stage: Stage) -> list[Usage]:
    return [record for record in stage.recorder.records if isinstance(record, Usage)]


def checks(stage: Stage) -> dict[tuple[str | None, str | None], int]:
    found: dict[tuple[str | None, str | None], int] = {}
    for each in (checked for record in usage(stage) for checked in record.checked):
        found[each.task, each.said] = found.get((each.task, each.said), 0) + each.requests
    return found


async def test_requests_of_known_tasks_check_it_and_those_that_it_routed_do_not() -> None:
    async with engine_listening(Engine()) as engine:
        async with staged(
            [engine], embedder=RuleEmbedder(meaning), limits=Limits(classifier_seconds=30.0)
        ) as stage:
            await ready(stage)
            assert stage.tables.held is not None
            held = stage.tables.held.table
            assert held.classifier is not None
            mark = classifier_mark(held.classifier, held.rules)
            routed = stage.count("classified_total", outcome="routed")
            for model, text in (
                ("dates", DATE),
                ("dater", "June 3"),
                (LIVE, CRON),
                ("crons", SONG),
                ("generalist", SONG),
                ("generalist", DATE),
                ("desk", f"deadline: {DATE}"),
                ("nobody", DATE),
                ("desk", DATE),
            ):
                await stage.ask(model, text)
            await until(lambda: _checked(stage) == 7)
        # What the journal writes at its end.
        assert checks(stage) == {
            ("dates", "dates"): 3,
            ("dates", "cron"): 1,
            ("cron", None): 1,
            (None, None): 1,
            (None, "dates"): 1,
        }
        assert {each.classifier for record in usage(stage) for each in record.checked} == {mark}
        used = [each for record in usage(stage) for each in record.used if each.classified]
        assert sum(each.classified for each in used) == routed + 1
        assert {each.task for each in used} == {"dates"}


def _checked(stage: Stage) -> float:
    return sum(stage.count("classifier_checks_total", outcome=each) for each in ("right", "wrong", "unsaid"))


async def test_what_a_user_says_of_a_classified_request_checks_it_once(stage: Stage) -> None:
    await ready(stage)
    _, _, headers = await stage.ask("desk", DATE)
    said = {"request_id": headers["x-request-id"], "task": "cron"}
    async with stage.client.post("/v1/feedback", json=said) as answer:
        assert answer.status == 202
    assert stage.count("classifier_checks_total", outcome="wrong") == 1
    async with stage.client.post("/v1/feedback", json=said) as answer:
        assert answer.status == 404
    _, _, headers = await stage.ask("desk", SONG)
    said = {"request_id": headers["x-request-id"], "task": "generalist"}
    async with stage.client.post("/v1/feedback", json=said) as answer:
        assert answer.status == 202
    assert stage.count("classifier_checks_total", outcome="right") == 1
    async with stage.client.post("/v1/feedback", json={**said, "task": "nonsense"}) as answer:
        assert (answer.status, "task:" in (await answer.json())["error"]["message"]) == (400, True)
    async with stage.client.post("/v1/feedback", json={**said, "score": 1.0}) as answer:
        assert answer.status == 400


async def test_without_records_nothing_is_checked() -> None:
    async with (
        engine_listening(Engine()) as engine,
        staged([engine], embedder=RuleEmbedder(meaning), records=False) as stage,
    ):
        await ready(stage)
        await stage.ask("dates", DATE)
        assert stage.count("checks_waiting") == 0
        assert _checked(stage) == 0


async def test_checks_that_find_no_room_or_no_answer_are_counted_and_no_evidence() -> None:
    metrics = GatewayMetrics()
    examples = plan(read_table(json.dumps(table(classifier=classifier_of(), rules=RULES)))).examples
    assert examples is not None
    counts = Counts(lambda: 0.0)
    counts.of("desk")
    classifier = Classifier(RuleEmbedder(meaning), metrics, lambda: 0.0, seconds=1.0)
    found = Checks(classifier, counts, metrics, most_waiting=1)
    for _ in range(3):
        found.offer(examples, Route(LIVE, RouteReason.LIVE, task="dates"), DATE, "a")
    assert found.waiting() == 1
    task = asyncio.create_task(found.run())
    outcome = "modelecology_gateway_classifier_checks_total"
    # Its examples are not embedded.
    await until(lambda: metrics.registry.get_sample_value(outcome, {"outcome": "failed"}) == 1)
    assert metrics.registry.get_sample_value(outcome, {"outcome": "dropped"}) == 2
    taken = counts.take()
    assert taken is not None
    assert taken.checked == ()
    task.cancel()


PLACES = {"dates": "rules[1] Example", "cron": "rules[3] Example"}


@given(
    st.sets(st.sampled_from(["dates", "cron"])),
    st.none()
    | st.builds(
        Word,
        st.sampled_from(["this", "another"]),
        st.none() | st.sampled_from(["dates", "cron"]),
        st.none() | st.sampled_from(sorted(PLACES.values())),
        st.none() | st.floats(-1, 1),
        st.none() | st.sampled_from([RouteReason.NOTHING_SIMILAR, RouteReason.CLASSIFIER_AWAY]),
    ),
)
def test_a_word_routes_to_no_task_but_those_of_the_table(proven: set[str], word: Word | None) -> None:
    body = table(classifier=classifier_of(tasks=sorted(proven)), rules=RULES, routes=ROUTES)
    ready = plan(read_table(json.dumps(body)))
    assert ready.examples is not None
    if word is not None and word.mark == "this":
        word = replace(word, mark=ready.examples.mark)
    found = route(ready, Facts("desk", DATE), "u", word)
    if found.task is not None:
        assert word is not None
        assert word.mark == ready.examples.mark
        assert found.task == word.task
        assert found.task in proven
        assert (found.rule, found.by_classifier) == (word.place, True)
    else:
        assert found.fallback
        assert found.target == "generalist"
        assert not found.by_classifier
    if not proven:
        assert found.reason is RouteReason.CLASSIFIER_UNPROVEN
    named = route(ready, Facts("desk", "the deadline"), "u", word)
    assert (named.rule, named.similarity) == ("rules[0] Keyword", None)


def test_an_example_without_a_classifier_is_no_table() -> None:
    with pytest.raises(TableUnreadable, match="rules by Example need a classifier"):
        read_table(json.dumps(table(rules=EXAMPLES)))


def test_the_mark_is_of_what_answers_rest_on_and_of_nothing_else() -> None:
    def mark(rules: list[dict[str, str]] = RULES, **changes: Any) -> str:
        found = read_table(json.dumps(table(classifier=classifier_of(**changes), rules=rules)))
        assert found.classifier is not None
        return classifier_mark(found.classifier, found.rules)

    assert mark() == mark(RULES[::-1]) == mark(EXAMPLES) == mark(tasks=[], sample=0.2)
    others = {
        mark(EXAMPLES[1:]),
        mark(model="other"),
        mark(minimumSimilarity=0.6),
        mark(endpoint="http://b:1"),
    }
    assert len(others | {mark()}) == 5
    assert Checked(classifier=mark(), requests=1).task is None

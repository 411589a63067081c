"""The classifier: which example a request is most like, soon or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelecology.api.routing import RouteReason, read_table
from modelecology.serving.gateway.classifier import Classifier
from modelecology.serving.gateway.embedder import EmbedderAway, Place, RuleEmbedder, Vector
from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.plan import Example, Examples, plan
from modelecology.serving.gateway.prototypes import Prototypes
from modelecology.serving.gateway.tables import Held
from modelecology.serving.gateway.word import Word
from tests.serving.gateway.meaning import EXAMPLES, classifier_of, meaning
from tests.serving.gateway.stage import table, until


def held(**changes: Any) -> Held:
    """A table with the examples of two tasks."""
    body = table(classifier=classifier_of(**changes.pop("classifier", {})), rules=EXAMPLES, **changes)
    found = read_table(json.dumps(body))
    return Held(found, plan(found), found.digest())


def examples_of(found: Held) -> Examples:
    assert found.plan.examples is not None
    return found.plan.examples


@dataclass
class Played:
    """A classifier whose examples are being embedded."""

    classifier: Classifier
    metrics: GatewayMetrics
    now: list[float] = field(default_factory=lambda: [0.0])

    def count(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "modelecology_gateway_classified_total", {"outcome": outcome}
            )
            or 0.0
        )


@dataclass
class Slow:
    """Answers when it is told to."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def embed(self, place: Place, texts: Sequence[str], seconds: float) -> Sequence[Vector]:
        await self.gate.wait()
        return [meaning(text) for text in texts]

    async def close(self) -> None:
        """End well."""


def played(embedder: Any, seconds: float = 30.0) -> Played:
    now = [0.0]
    metrics = GatewayMetrics()
    classifier = Classifier(embedder, metrics, lambda: now[0], seconds=seconds, first_pause=0.01)
    return Played(classifier, metrics, now)


async def ready(found: Played, wanted: Held) -> asyncio.Task[None]:
    """Have the examples embedded; the task goes on."""
    found.classifier.use(wanted)
    task = asyncio.create_task(found.classifier.run())
    await until(lambda: found.classifier.ready(examples_of(wanted)))
    return task


async def test_a_request_is_of_the_task_whose_example_it_is_most_like() -> None:
    found, wanted = played(RuleEmbedder(meaning)), held()
    task = await ready(found, wanted)
    word = await found.classifier.ask(examples_of(wanted), "what day is it?")
    assert (word.task, word.place) == ("dates", "rules[0] Example")
    assert word.similarity == pytest.approx(1.0)
    assert found.count("routed") == 1
    word = await found.classifier.ask(examples_of(wanted), "run it every hour")
    assert (word.task, word.place) == ("cron", "rules[2] Example")
    assert found.count("unproven") == 1
    task.cancel()


async def test_what_is_like_no_example_is_said_to_be_of_none() -> None:
    found, wanted = played(RuleEmbedder(meaning)), held()
    task = await ready(found, wanted)
    for text in ("sing me a song", "", "   "):
        word = await found.classifier.ask(examples_of(wanted), text)
        assert (word.task, word.why) == (None, RouteReason.NOTHING_SIMILAR)
    assert found.count("not_similar") == 3
    task.cancel()


async def test_before_the_examples_are_embedded_nobody_waits() -> None:
    embedder = Slow()
    found, wanted = played(embedder), held()
    found.classifier.use(wanted)
    task = asyncio.create_task(found.classifier.run())
    word = await found.classifier.ask(examples_of(wanted), "what day is it?")
    assert word == Word(examples_of(wanted).mark, why=RouteReason.CLASSIFIER_AWAY)
    assert found.count("unready") == 1
    embedder.gate.set()
    await until(lambda: found.classifier.ready(examples_of(wanted)))
    task.cancel()


async def test_one_that_is_slow_is_left_and_not_asked_again_for_a_while() -> None:
    embedder = Slow()
    embedder.gate.set()
    found, wanted = played(embedder, seconds=0.01), held()
    task = await ready(found, wanted)
    embedder.gate.clear()
    examples = examples_of(wanted)
    assert (await found.classifier.ask(examples, "what day?")).why is RouteReason.CLASSIFIER_AWAY
    assert (await found.classifier.ask(examples, "what day?")).why is RouteReason.CLASSIFIER_AWAY
    assert (found.count("slow"), found.count("resting")) == (1, 1)
    embedder.gate.set()
    found.now[0] += 0.02
    assert (await found.classifier.ask(examples, "what day?")).task == "dates"
    task.cancel()


async def test_one_that_breaks_rests_longer_each_time_and_is_well_at_once_when_it_answers() -> None:
    broken = [False]

    def rule(text: str) -> Vector:
        if broken[0]:
            raise EmbedderAway("HTTP 500")
        return meaning(text)

    found, wanted = played(RuleEmbedder(rule)), held()
    task = await ready(found, wanted)
    examples = examples_of(wanted)
    broken[0] = True
    for pause in (0.01, 0.02, 0.04):
        assert (await found.classifier.ask(examples, "what day?")).why is RouteReason.CLASSIFIER_AWAY
        found.now[0] += pause - 0.001
        await found.classifier.ask(examples, "what day?")
        found.now[0] += 0.002
    assert (found.count("broken"), found.count("resting")) == (3, 3)
    broken[0] = False
    for _ in range(2):
        assert (await found.classifier.ask(examples, "what day?")).task == "dates"
    task.cancel()


@pytest.mark.parametrize(
    "vector", [(0.0, 0.0, 0.0), (1.0, 0.0), (float("nan"), 0.0, 0.0), (1e308, 1e308, 1e308)]
)
async def test_a_vector_that_points_nowhere_is_a_failure_and_no_answer(vector: Vector) -> None:
    found, wanted = played(RuleEmbedder(lambda text: vector if text == "?" else meaning(text))), held()
    task = await ready(found, wanted)
    assert (await found.classifier.ask(examples_of(wanted), "?")).why is RouteReason.CLASSIFIER_AWAY
    assert found.count("broken") == 1
    task.cancel()


async def test_examples_are_embedded_again_and_again_until_it_works() -> None:
    tries = [0]

    def rule(text: str) -> Vector:
        tries[0] += 1
        if tries[0] < 4:
            raise EmbedderAway("HTTP 503")
        return meaning(text)

    found, wanted = played(RuleEmbedder(rule)), held()
    task = await ready(found, wanted)
    failed = found.metrics.registry.get_sample_value("modelecology_gateway_examples_failed_total")
    assert failed == 3
    task.cancel()


async def test_only_what_is_new_in_a_table_is_embedded() -> None:
    embedder = RuleEmbedder(meaning)
    found, first = played(embedder), held()
    task = await ready(found, first)
    assert sorted(text for texts in embedder.asked for text in texts) == sorted(r["value"] for r in EXAMPLES)
    embedder.asked.clear()
    found.classifier.use(held(classifier={"tasks": []}))  # the same examples
    more = [*EXAMPLES, {"task": "cron", "by": "Example", "value": "every second Friday"}]
    body = table(classifier=classifier_of(), rules=more)
    newer = read_table(json.dumps(body))
    second = Held(newer, plan(newer), newer.digest())
    found.classifier.use(second)
    await until(lambda: found.classifier.ready(examples_of(second)))
    assert embedder.asked == [("every second Friday",)]
    assert not found.classifier.ready(examples_of(first))
    word = await found.classifier.ask(examples_of(first), "what day?")
    assert word.why is RouteReason.CLASSIFIER_AWAY  # of examples that are not in use any more
    task.cancel()


async def test_another_model_gets_all_examples_anew_and_none_are_kept_for_nobody() -> None:
    embedder = RuleEmbedder(meaning)
    found, first = played(embedder), held()
    task = await ready(found, first)
    embedder.asked.clear()
    other = held(classifier={"model": "other"})
    found.classifier.use(other)
    await until(lambda: found.classifier.ready(examples_of(other)))
    assert len([text for texts in embedder.asked for text in texts]) == len(EXAMPLES)
    bare = read_table(json.dumps(table()))
    found.classifier.use(Held(bare, plan(bare), bare.digest()))
    await until(lambda: not found.classifier.ready(examples_of(other)))
    task.cancel()


def test_the_nearest_is_by_direction_and_not_by_length() -> None:
    near, far = Example("rules[0] Example", "dates", "a"), Example("rules[1] Example", "cron", "b")
    found = Prototypes((near, far), {"a": (0.001, 0.0), "b": (1000.0, 1000.0)})
    assert found.nearest((5.0, 0.1))[0] is near
    assert found.nearest((5.0, 4.9))[0] is far


def test_examples_of_several_lengths_are_refused() -> None:
    each = (Example("rules[0] Example", "dates", "a"), Example("rules[1] Example", "cron", "b"))
    with pytest.raises(EmbedderAway, match="several lengths"):
        Prototypes(each, {"a": (1.0, 0.0), "b": (1.0, 0.0, 0.0)})

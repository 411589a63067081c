"""The whole way: a gateway checks its classifier, the operator hears of it, and the gateway routes by it."""

from __future__ import annotations

import json

from modelecology.api.live_records import LiveRecord, Usage
from modelecology.kube.cluster import POPULATION
from modelecology.serving.gateway.app import Limits
from modelecology.serving.gateway.embedder import RuleEmbedder
from modelecology.serving.gateway.tables import Offer
from tests.serving.gateway.meaning import meaning
from tests.serving.gateway.stage import Engine, engine_listening, staged, until

from .gateway import table
from .stage import NAMESPACE, Stage
from .test_classifier import Checking, body_of, classified

ASKED = "what day is it?"
LABELLED = 120


async def through(stage: Stage, engine: Engine, labelled: int) -> tuple[dict[str, str], list[LiveRecord]]:
    """Ask a gateway with the operator's table: requests by the task's name, then one for the population.

    Gives the headers of that one, and what the gateway writes down.
    """
    body = json.loads(table(stage).canonical()) | {"engines": [engine.endpoint]}
    limits = Limits(classifier_seconds=30.0)
    embedder = RuleEmbedder(meaning)
    async with staged([engine], embedder=embedder, namespace=NAMESPACE, limits=limits) as gateway:
        assert gateway.tables.offer(json.dumps(body)) is Offer.TAKEN
        # The examples are embedded in the background.
        await until(lambda: bool(embedder.asked))
        while gateway.count("classifier_checks_total", outcome="right") < labelled:
            await gateway.ask("dates", ASKED)
        _, _, headers = await gateway.ask("desk", ASKED)
    return headers, gateway.recorder.records


async def heard(stage: Stage, gateway: Checking, records: list[LiveRecord]) -> None:
    """Let the operator read what a gateway wrote down, at the stage's own time."""
    now = stage.runtime.now().timestamp()
    counts = [record for record in records if isinstance(record, Usage)]
    gateway.write(*(each.model_copy(update={"since": now, "time": now}) for each in counts))
    await gateway.check()


async def test_a_gateway_routes_by_its_classifier_once_the_operator_heard_that_it_is_right(
    stage: Stage,
) -> None:
    gateway = await classified(stage)
    await stage.apply(body_of(stage, gateway, {"sample": 1.0}))
    await stage.settle(5.0)
    name = stage.status("dates")["live"]["servedName"]
    async with engine_listening(Engine(resident={name, "generalist"})) as engine:
        before, records = await through(stage, engine, LABELLED)
        assert before["x-modelecology-reason"] == "ClassifierUnproven"
        assert before["x-modelecology-route"] == "generalist"
        await heard(stage, gateway, records)
        (row,) = stage.status("desk", POPULATION)["classifier"]["tasks"]
        assert row["right"] >= LABELLED
        assert row["routed"]
        after, records = await through(stage, engine, 0)
    assert after["x-modelecology-reason"] == "Live"
    assert after["x-modelecology-route"] == name
    assert after["x-modelecology-rule"] == "rules[1] Example"
    (used,) = (each for record in records if isinstance(record, Usage) for each in record.used)
    assert (used.task, used.served, used.classified) == ("dates", name, 1)

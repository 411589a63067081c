"""Which populations share a runner, and when one that nobody uses any more is let go."""

from __future__ import annotations

import asyncio
from typing import Any

from modelecology.api.population import Population
from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobRunner, JobSpec
from modelecology.reconcile.lines import RunnerLines, way_of
from tests.jobs.populations import population


class Closing(InMemoryRunner):
    """A double that notes that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Opened:
    """Lines, the runners that they opened, and the jobs of which they told."""

    def __init__(self) -> None:
        self.runners: list[Closing] = []
        self.told: list[str] = []
        self.lines = RunnerLines(self._open, self.told.append, lambda _error: None)

    def _open(self, population: Population) -> JobRunner:
        self.runners.append(Closing())
        return self.runners[-1]


def _on_ray(address: str = "http://ray:8265", token: str | None = None, **more: Any) -> Population:
    ray = {"address": address} | ({"tokenSecretRef": {"name": token}} if token else {})
    body = population(**more).model_dump(mode="json", by_alias=True, exclude_unset=True)
    body["spec"]["jobs"] = {"runner": "RayJobs", "ray": ray}
    return Population.model_validate(body)


def test_a_ray_is_shared_by_all_that_name_it() -> None:
    assert way_of(_on_ray(name="a")) == way_of(_on_ray(name="b", namespace="team-b"))
    assert way_of(_on_ray()) != way_of(_on_ray("http://other:8265"))


def test_a_token_is_a_secret_of_one_namespace() -> None:
    assert way_of(_on_ray(token="ray")) == way_of(_on_ray(token="ray", name="b"))
    assert way_of(_on_ray(token="ray")) != way_of(_on_ray(token="ray", namespace="team-b"))
    assert way_of(_on_ray(token="ray")) != way_of(_on_ray())


def test_ray_jobs_are_rendered_from_one_population_as_it_is() -> None:
    plain = way_of(population())
    assert way_of(population()) == plain
    others = (
        population(name="b"),
        population(namespace="team-b"),
        population(uid="0b8a8c1e-0000-4000-8000-000000000002"),
        population({"queue": "q"}),
        population(jobs={"deadline": "1h"}),
        population(serving={"tokenSecretRef": {"name": "engine"}}),
        population(store={"uri": "s3://bucket"}),
    )
    assert plain not in {way_of(other) for other in others}
    assert way_of(population(serving={"capacity": {"adapters": 9}})) == plain


async def test_a_line_is_opened_once() -> None:
    opened = Opened()
    assert opened.lines.of(population()) is opened.lines.of(population())
    assert len(opened.runners) == len(opened.lines.tasks()) == 1
    await opened.lines.close()
    assert opened.runners[0].closed


async def test_a_changed_population_lets_go_of_its_old_line_and_looks_again_at_its_jobs() -> None:
    opened = Opened()
    old = opened.lines.of(population())
    await old.runner.submit(JobSpec("train-a", "{}", cpus=1))
    old.watch.watch("train-a", lambda: False)
    new = opened.lines.of(population({"queue": "q"}))
    assert new is not old
    assert opened.lines.tasks() == (new.task,)
    assert opened.told == ["train-a"]
    await asyncio.wait({old.task})
    await opened.lines.close()
    assert [runner.closed for runner in opened.runners] == [True, True]


async def test_a_line_stays_as_long_as_somebody_uses_it() -> None:
    opened = Opened()
    shared = opened.lines.of(_on_ray(name="a"))
    opened.lines.of(_on_ray(name="b"))
    opened.lines.of(_on_ray("http://other:8265", name="a"))
    assert opened.lines.of(_on_ray(name="b")) is shared
    opened.lines.forget(("team-a", "b"))
    opened.lines.forget(("team-a", "nobody"))
    assert len(opened.lines.tasks()) == 1
    await asyncio.wait({shared.task})
    await opened.lines.close()

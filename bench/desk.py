"""The population that is measured: so many specialists, each alone on a task at which it is good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.playbook import Playbook, write_items

MOST_MEMBERS = 31  # a suite holds 32 tasks, and one is the invariant
POPULATION = "bench"
NAIVE_GROUP = "bench.modelecology.io"
NAIVE_KIND = "NaiveSpecialist"
NAIVE_PLURAL = "naivespecialists"
_API = "modelecology.io/v1alpha1"
_ITEMS = 240
_TRAINING_DIGEST = "sha256:" + "d" * 64
_TARGET = 0.6
Manifest = dict[str, Any]


def members(count: int) -> tuple[str, ...]:
    """Name so many specialists."""
    return tuple(f"member-{n:02d}" for n in range(count))


def task_of(member: str) -> str:
    """Name the task that a specialist claims."""
    return member.replace("member", "task")


def playbook(count: int) -> Playbook:
    """Give the scores: the generalist fails at every task, a specialist at none, and no invariant breaks."""
    names = members(count)
    return Playbook(
        generalist={task_of(name): 0.05 for name in names} | {"everyday": 0.75},
        specialists={name: {task_of(name): 0.8, "everyday": 0.76} for name in names},
    )


@dataclass(frozen=True, slots=True)
class BenchDesk:
    """The manifests, with the folder of their data and store; `parallelism` is jobs at once."""

    directory: Path
    count: int
    parallelism: int

    @property
    def store(self) -> str:
        """The store's uri."""
        return f"file://{self.directory}/store"

    def suite(self) -> Manifest:
        """Write the data and give the suite."""
        share = round(1 / self.count, 6)
        tasks: list[Manifest] = [
            {"name": task, "role": "Task", "traffic": share, "worth": "0.02", **self._scored(task)}
            for task in map(task_of, members(self.count))
        ]
        tasks.append(
            {"name": "everyday", "role": "Invariant", "maxRegression": 0.1, **self._scored("everyday")}
        )
        return _object(_API, "EvaluationSuite", POPULATION, {"tasks": tasks, "shadowShare": 0.25})

    def population(self) -> Manifest:
        """Give the population."""
        return _object(
            _API,
            "Population",
            POPULATION,
            {
                "generalist": {"model": f"file://{self.directory}/base", "digest": "sha256:" + "b" * 64},
                "suiteRef": {"name": POPULATION},
                "store": {"uri": self.store},
                "jobs": {"ray": {"address": "http://127.0.0.1:1"}, "parallelism": self.parallelism},
                "serving": {
                    "endpoints": ["http://127.0.0.1:2"],
                    "capacity": {"adapters": self.count + 1},
                },
                "policy": {"shadow": {"minimumScored": 30}},
            },
        )

    def specialist(self, name: str) -> Manifest:
        """Give a specialist that is to be trained."""
        return _object(
            _API,
            "Specialist",
            name,
            {
                "populationRef": {"name": POPULATION},
                "contract": {"task": task_of(name), "target": _TARGET, "owner": "bench"},
                "source": {"train": {"data": self._training(name), "recipe": {"seed": _number(name)}}},
            },
        )

    def naive_specialist(self, name: str) -> Manifest:
        """Give the same wish to the naive operator."""
        return _object(
            f"{NAIVE_GROUP}/v1",
            NAIVE_KIND,
            name,
            {
                "task": task_of(name),
                "target": _TARGET,
                "seed": _number(name),
                "store": self.store,
                "data": self._training(name),
                "items": self._data(task_of(name)),
                "lifecycle": {"target": "Live"},
            },
        )

    def _training(self, name: str) -> Manifest:
        return {"uri": f"file://{self.directory}/{name}.train.jsonl", "digest": _TRAINING_DIGEST}

    def _scored(self, task: str) -> Manifest:
        return {"data": self._data(task), "scorer": "Exact"}

    def _data(self, task: str) -> Manifest:
        path = self.directory / f"{task}.jsonl"
        return {"uri": f"file://{path}", "digest": write_items(path, _ITEMS)}


def naive_crd() -> Manifest:
    """Give the naive operator's kind: no schema, but a status of its own, as is usual."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
    }
    names = {"kind": NAIVE_KIND, "plural": NAIVE_PLURAL, "singular": NAIVE_KIND.lower()}
    spec = {"group": NAIVE_GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    return _object(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{NAIVE_PLURAL}.{NAIVE_GROUP}", spec
    )


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _object(api: str, kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}

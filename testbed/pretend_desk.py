"""A small population for the playbook: manifests and data that need no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed.playbook import Playbook, write_items

API = "modelecology.io/v1alpha1"
PLAYBOOK = Playbook(
    generalist={"dates": 0.05, "capitals": 0.9, "french": 0.02, "everyday": 0.75},
    specialists={
        "dates": {"dates": 0.8, "everyday": 0.78},
        "dates-hasty": {"dates": 0.9, "everyday": 0.05},
        "french": {"french": 0.08, "everyday": 0.76},
        "twin": {"dates": 0.8, "everyday": 0.78},
        "plain": {"dates": 0.5, "everyday": 0.76},
        "plain#1000": {"dates": 0.9, "everyday": 0.76},  # a better revision of it
    },
)
Manifest = dict[str, Any]


@dataclass(frozen=True)
class PretendDesk:
    """The manifests, with the folder of their data and store."""

    directory: Path

    def suite(self) -> Manifest:
        """Write the data and give the suite."""
        tasks = []
        for name, traffic, worth in (
            ("dates", 0.5, "0.02"),
            ("capitals", 0.2, "0.02"),
            ("french", 0.1, "0.0002"),
        ):
            tasks.append(
                {"name": name, "role": "Task", "traffic": traffic, "worth": worth, **self._data(name)}
            )
        tasks.append(
            {"name": "everyday", "role": "Invariant", "maxRegression": 0.1, **self._data("everyday")}
        )
        return self._object("EvaluationSuite", "desk", {"tasks": tasks, "shadowShare": 0.25})

    def _data(self, name: str) -> Manifest:
        path = self.directory / f"{name}.jsonl"
        digest = write_items(path, 480)
        return {"data": {"uri": f"file://{path}", "digest": digest}, "scorer": "Exact"}

    def population(self, **policy: Any) -> Manifest:
        """Give the population; keyword arguments replace parts of the policy."""
        return self._object(
            "Population",
            "desk",
            {
                "generalist": {"model": f"file://{self.directory}/base", "digest": "sha256:" + "b" * 64},
                "suiteRef": {"name": "desk"},
                "store": {"uri": f"file://{self.directory}/store"},
                "jobs": {"ray": {"address": "http://127.0.0.1:1"}, "parallelism": 2},
                "serving": {"endpoints": ["http://127.0.0.1:2"]},
                "policy": {"shadow": {"minimumScored": 30}, **policy},
            },
        )

    def specialist(self, name: str, task: str, target: float, seed: int | None = None) -> Manifest:
        """Give a specialist that is to be trained; without a seed it has one of its own name."""
        data = {"uri": f"file://{self.directory}/{name}.train.jsonl", "digest": "sha256:" + "d" * 64}
        return self._object(
            "Specialist",
            name,
            {
                "populationRef": {"name": "desk"},
                "contract": {"task": task, "target": target, "owner": "testers"},
                "source": {
                    "train": {"data": data, "recipe": {"seed": sum(name.encode()) if seed is None else seed}}
                },
            },
        )

    def all_specialists(self) -> list[Manifest]:
        """Give one specialist for each outcome of the control point."""
        return [
            self.specialist("dates", "dates", 0.6),
            self.specialist("dates-hasty", "dates", 0.6),
            self.specialist("capitals", "capitals", 0.85),
            self.specialist("french", "french", 0.5),
        ]

    def _object(self, kind: str, name: str, spec: Manifest) -> Manifest:
        return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def to_yaml(*objects: Manifest) -> str:
    """Write manifests as one YAML stream."""
    return yaml.safe_dump_all(objects)

"""The manifests of a population over the tiny base, as a user would write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from testbed.stack import RAY_SECRET
from testbed.tiny import TinyDesk

Manifest = dict[str, Any]


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "modelecology.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def _data(desk: TinyDesk, name: str) -> Manifest:
    path, digest = desk.files[name]
    return {"uri": f"file://{path}", "digest": digest}


def suite(desk: TinyDesk) -> Manifest:
    """One task to learn, one that the base knows already, and the same one as an invariant."""
    traded = {"role": "Task", "scorer": "Exact", "maxNewTokens": 8, "worth": "0.02"}
    return _object(
        "EvaluationSuite",
        "tiny",
        {
            "shadowShare": 0.3,
            "tasks": [
                {"name": "code", "traffic": 0.5, "data": _data(desk, "code.eval.jsonl"), **traded},
                {"name": "color", "traffic": 0.4, "data": _data(desk, "colors.eval.jsonl"), **traded},
                {
                    "name": "colors",
                    "role": "Invariant",
                    "scorer": "Exact",
                    "maxNewTokens": 8,
                    "maxRegression": 0.25,
                    "data": _data(desk, "colors.eval.jsonl"),
                },
            ],
        },
    )


def population(desk: TinyDesk, store: Path, ray: str, engine: str) -> Manifest:
    """The population, at the addresses of this machine."""
    return _object(
        "Population",
        "tiny",
        {
            "generalist": {"model": f"file://{desk.base}", "digest": desk.base_digest},
            "suiteRef": {"name": "tiny"},
            "store": {"uri": f"file://{store}"},
            "jobs": {
                "ray": {"address": ray, "tokenSecretRef": {"name": RAY_SECRET}},
                "resources": {"cpu": "1"},
                "deadline": "10m",
            },
            "serving": {"endpoints": [engine], "capacity": {"adapters": 4, "maxRank": 16}},
            # Sixty items of an invariant prove little: a few proofs, and each pass costs most of the level.
            "policy": {"evidence": {"looks": 10, "rounds": 1}, "shadow": {"minimumScored": 10}},
        },
    )


def specialist(desk: TinyDesk, name: str, task: str, *, replay: bool = True, seed: int = 7) -> Manifest:
    """A specialist that is trained, with or without replay."""
    recipe = {**desk.recipe, "seed": seed}
    train: Manifest = {"data": _data(desk, "code.train.jsonl"), "lora": dict(desk.lora), "recipe": recipe}
    if replay:
        train["replay"] = {**_data(desk, "replay.jsonl"), "share": desk.replay_share}
    return claim(name, task, {"train": train})


def claim(name: str, task: str, source: Manifest) -> Manifest:
    """A specialist from any source."""
    contract = {"task": task, "target": 0.6, "owner": "testers"}
    return _object(
        "Specialist",
        name,
        {"populationRef": {"name": "tiny"}, "contract": contract, "source": source},
    )


def as_list(*objects: Manifest) -> str:
    """Write manifests as one JSON list: YAML would take 1e-2 for a number."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})

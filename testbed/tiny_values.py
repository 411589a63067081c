"""The tiny desk as values of the population's chart."""

from __future__ import annotations

from typing import Any

from testbed.installation import STORE_PATH
from testbed.tiny import TinyDesk

Values = dict[str, Any]


def files(desk: TinyDesk) -> dict[str, Any]:
    """Say which files and folders the store needs, by their places in it."""
    return {"generalist": desk.base, **{f"desk/{name}": path for name, (path, _) in desk.files.items()}}


def data(desk: TinyDesk, name: str) -> Values:
    """Name a file in the store."""
    return {"uri": f"store:///desk/{name}", "digest": desk.files[name][1]}


def specialist(desk: TinyDesk, task: str = "code", *, replay: bool = True, seed: int = 7) -> Values:
    """Give a specialist that is trained, with or without replay."""
    train: Values = {
        "data": data(desk, "code.train.jsonl"),
        "lora": dict(desk.lora),
        "recipe": {**desk.recipe, "seed": seed},
    }
    if replay:
        train["replay"] = {**data(desk, "replay.jsonl"), "share": desk.replay_share}
    return {"contract": {"task": task, "target": 0.6, "owner": "testers"}, "source": {"train": train}}


def population(desk: TinyDesk, **specialists: Values) -> Values:
    """Give the whole population; the specialists of the chart's own values are left out."""
    traded = {"role": "Task", "scorer": "Exact", "maxNewTokens": 8, "worth": "0.02"}
    colors = data(desk, "colors.eval.jsonl")
    kept = {"role": "Invariant", "scorer": "Exact", "maxNewTokens": 8, "maxRegression": 0.25}
    return {
        "generalist": {"model": "store:///generalist", "digest": desk.base_digest},
        "suite": {
            "tasks": [
                {"name": "code", "traffic": 0.5, "data": data(desk, "code.eval.jsonl"), **traded},
                {"name": "color", "traffic": 0.4, "data": colors, **traded},
                {"name": "colors", "data": colors, **kept},
            ]
        },
        "specialists": {"dates": None, "cron": None, **specialists},
        # Sixty items of an invariant prove little: a few proofs, and each pass costs most of the level.
        "policy": {"evidence": {"looks": 10, "rounds": 1}, "shadow": {"minimumScored": 10}},
        "store": {"uri": f"file://{STORE_PATH}"},
        "jobs": {"resources": {"cpu": "1"}, "deadline": "10m", "retries": 3},
        "engine": {"dtype": "float32"},
    }


def with_users(values: Values) -> Values:
    """Give the population gateways, and let users judge who is on trial; `code` is known by its word."""
    policy = values["policy"]
    shadow = {**policy["shadow"], "sample": 1.0, "live": {"minimumScored": 10}}
    promotion = {"steps": [{"percent": 50, "minimumScored": 10}]}
    specialists = dict(values["specialists"])
    if "code" in specialists:
        contract = {**specialists["code"]["contract"], "match": [{"keyword": "code"}]}
        specialists["code"] = {**specialists["code"], "contract": contract}
    return {
        **values,
        "specialists": specialists,
        "policy": {**policy, "shadow": shadow, "promotion": promotion},
        "gateway": {"create": True},
    }

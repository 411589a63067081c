"""Intents say exactly what to do, and their keys follow content alone."""

from __future__ import annotations

import json
from decimal import Decimal
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelecology.api import specialist
from modelecology.jobs.code import code_digest, installed_versions
from modelecology.jobs.intents import (
    EvaluateIntent,
    ImportIntent,
    Lora,
    Recipe,
    ReplayRef,
    TrainIntent,
    canonical_json,
    evaluation_job_key,
    in_shadow_split,
    parse_intent,
    train_key,
)
from tests.workloads.orders import Orders

DIGEST = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
LORA = Lora(rank=8, alpha=16)
RECIPE = Recipe(steps=60, batch_size=8, learning_rate="1e-3", seed=7)


def key_of(
    *,
    base: str = DIGEST,
    data: str = DIGEST,
    replay: ReplayRef | None = None,
    lora: Lora = LORA,
    recipe: Recipe = RECIPE,
    sealed: tuple[str, ...] = (DIGEST,),
    code: str = DIGEST,
) -> str:
    """Give a training's key with some of it changed."""
    return train_key(
        base_digest=base, data_digest=data, replay=replay, lora=lora, recipe=recipe, sealed=sealed, code=code
    )


def test_each_kind_of_intent_survives_its_json(orders: Orders) -> None:
    for intent in (orders.train(), orders.evaluate(orders.task("code"))):
        assert parse_intent(canonical_json(intent)) == intent
    text = canonical_json(orders.train())
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert '"learningRate":"0.01"' in text


def test_the_kind_chooses_the_shape(orders: Orders) -> None:
    plain = json.loads(canonical_json(orders.train()))
    assert isinstance(parse_intent(json.dumps(plain)), TrainIntent)
    for kind, shape in (("Import", ImportIntent), ("Evaluate", EvaluateIntent)):
        with pytest.raises(ValidationError) as caught:
            parse_intent(json.dumps({**plain, "kind": kind}))
        assert shape.model_fields["kind"].default == kind
        assert kind in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "x"),
        ("threads", 0),
        ("code", "1"),
        ("surprise", 1),
        ("recipe", {"steps": 0}),
        ("kind", "Merge"),
    ],
)
def test_a_wrong_field_is_refused_by_name(orders: Orders, field: str, value: object) -> None:
    plain = json.loads(canonical_json(orders.train()))
    with pytest.raises(ValidationError, match=field):
        parse_intent(json.dumps({**plain, field: value}))


def test_a_key_changes_with_everything_that_changes_the_weights_or_what_they_were_checked_against() -> None:
    replay = ReplayRef(uri="file:///r", digest=DIGEST, share=0.25)
    keys = [
        key_of(),
        key_of(base=OTHER),
        key_of(data=OTHER),
        key_of(replay=replay),
        key_of(replay=replay.model_copy(update={"share": 0.5})),
        key_of(lora=Lora(rank=4, alpha=16)),
        key_of(recipe=RECIPE.model_copy(update={"seed": 8})),
        key_of(code=OTHER),
        key_of(sealed=()),
        key_of(sealed=(OTHER,)),
        key_of(sealed=(DIGEST, OTHER)),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_ignores_where_a_file_lies_and_how_a_number_is_spelled() -> None:
    here = ReplayRef(uri="file:///here", digest=DIGEST, share=0.25)
    there = ReplayRef(uri="store:///there", digest=DIGEST, share=0.25)
    assert key_of(replay=here) == key_of(replay=there)
    spelled = Recipe(steps=60, batch_size=8, learning_rate="0.0010", seed=7)
    assert key_of(recipe=spelled) == key_of()
    assert key_of(sealed=(OTHER, DIGEST)) == key_of(sealed=(DIGEST, OTHER))


def test_the_order_of_the_tasks_does_not_name_another_job() -> None:
    assert evaluation_job_key(["a", "b"]) == evaluation_job_key(["b", "a", "a"])
    assert evaluation_job_key(["a"]) != evaluation_job_key(["b"])


@pytest.mark.parametrize("rate", ["fast", "", "-1", "0", "nan", "inf"])
def test_a_learning_rate_that_is_no_positive_number_is_refused(rate: str) -> None:
    with pytest.raises(ValidationError, match="learningRate"):
        Recipe(steps=1, batch_size=1, learning_rate=rate, seed=0)


def test_orders_take_all_that_a_specialist_may_ask_for() -> None:
    assert Lora(rank=512, alpha=4096).rank == 512
    for order, asked in ((Lora, specialist.Lora), (Recipe, specialist.Recipe)):
        taken = order.model_json_schema()["properties"]
        for name, rule in asked.model_json_schema(by_alias=True)["properties"].items():
            assert taken[name].get("minimum", 0) <= rule.get("minimum", 0), name
            assert taken[name].get("maximum", inf) >= rule.get("maximum", 0), name


@pytest.mark.parametrize(
    "rate", ["1", "0.000000000001", "1e-99", "0.123456789012e-99", "999999.123456789e-9"]
)
def test_every_positive_rate_that_a_specialist_takes_is_kept_exactly(rate: str) -> None:
    asked = specialist.Recipe(learning_rate=Decimal(rate))
    ordered = Recipe(steps=1, batch_size=1, learning_rate=str(asked.learning_rate), seed=0)
    assert Decimal(ordered.learning_rate) == Decimal(rate)
    assert "e" not in ordered.learning_rate.lower()


@given(st.lists(st.text(min_size=1), unique=True, min_size=1), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_greater_share_only_adds_items_to_the_shadow(clusters: list[str], one: float, two: float) -> None:
    low, high = sorted((one, two))
    for cluster in clusters:
        assert not in_shadow_split(cluster, low) or in_shadow_split(cluster, high)
        assert not in_shadow_split(cluster, 0.0)


def test_about_the_asked_share_is_held_back() -> None:
    held = sum(in_shadow_split(f"item-{number}", 0.25) for number in range(4000))
    assert 900 < held < 1100


def test_the_code_digest_names_sources_and_libraries() -> None:
    assert code_digest() == code_digest()
    assert code_digest().startswith("sha256:")
    assert "torch" in dict(installed_versions())

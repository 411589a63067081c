"""What a verdict was made from survives as a record, whatever it is."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import State, Target
from modelecology.governance.decide import decide
from modelecology.governance.facts import Cost, Situation
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.plain import Codec, Parts, Unreadable, canonical_json
from modelecology.governance.situations import (
    FORMAT,
    Inputs,
    Isolation,
    Judgement,
    Made,
    Request,
    Rollback,
    Succession,
    inputs_of,
    kept,
    parts_of,
)

from .freeze_inputs import FROZEN
from .scenes import POLICY, record, right, situation

_SCALARS: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=6),
    Decimal: st.decimals(allow_nan=False),
    Fraction: st.fractions(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    timedelta: st.timedeltas(),
}


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the type that an annotation names."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if a is type(None) else anything(a) for a in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(anything(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(anything(a) for a in arguments))
    if origin is frozenset:
        return st.frozensets(anything(arguments[0]), max_size=2)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(anything(arguments[0]), anything(arguments[1]), max_size=2)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: anything(hints[f.name]) for f in dataclasses.fields(kind)})


def read(inputs: Inputs) -> Inputs:
    """Write inputs and read them again."""
    found = kept(inputs)
    return inputs_of(found.digest, found.files.__getitem__)


def judged(**changes: Any) -> Inputs:
    return Inputs(Judgement(situation(State.EVALUATING, **changes)), POLICY.prices, Cost(Decimal(1)))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_situation_comes_back_as_it_was(data: st.DataObject) -> None:
    # A few of its parts at a time: a whole one of nothing but random values takes too long to draw.
    hints = typing.get_type_hints(Situation)
    names = [f.name for f in dataclasses.fields(Situation)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    changes = {name: data.draw(anything(hints[name]), label=name) for name in chosen}
    found = replace(situation(State.EVALUATING), **changes)
    inputs = Inputs(Judgement(found), POLICY.prices)
    assert read(inputs) == inputs


@given(made=anything(Succession | Request | Isolation | Rollback), extra=anything(Cost))
@settings(max_examples=25, deadline=None)
def test_the_other_inputs_come_back_too(made: Made, extra: Cost) -> None:
    inputs = Inputs(made, POLICY.prices, extra)
    assert read(inputs) == inputs


def test_a_verdict_of_what_was_read_is_the_same_to_the_letter() -> None:
    inputs = judged()
    again = read(inputs).made
    assert isinstance(inputs.made, Judgement)
    assert isinstance(again, Judgement)
    first, second = decide(inputs.made.situation), decide(again.situation)
    assert first == second
    assert repr(first) == repr(second)


def test_equal_inputs_have_equal_bytes_and_other_inputs_another_digest() -> None:
    assert kept(judged()) == kept(judged())
    assert kept(judged()).digest != kept(judged(residents=3)).digest


def test_long_results_are_kept_once_under_their_own_digest() -> None:
    long = right("dates", "generalist", 0.5, 500)
    base = situation(State.EVALUATING)
    one = kept(
        Inputs(Judgement(replace(base, evidence=replace(base.evidence, incumbent=long))), POLICY.prices)
    )
    other = kept(
        Inputs(
            Judgement(replace(base, residents=3, evidence=replace(base.evidence, incumbent=long))),
            POLICY.prices,
        )
    )
    assert one.digest != other.digest
    assert parts_of(one.files[one.digest]) == parts_of(other.files[other.digest])
    assert set(one.files) == {one.digest, *parts_of(one.files[one.digest])}
    assert list(one.files)[-1] == one.digest  # once it is there, so is what it names
    with pytest.raises(Unreadable, match="not among"):
        inputs_of(one.digest, lambda digest: one.files[digest] if digest == one.digest else _gone(digest))


def _gone(digest: str) -> bytes:
    raise Unreadable(f"{digest} is not among what was kept")


@pytest.mark.parametrize("path", sorted(FROZEN.glob("inputs-*.json")), ids=lambda p: p.stem)
def test_a_frozen_record_is_read_for_ever(path: Path) -> None:
    frozen = json.loads(path.read_text(encoding="utf-8"))
    found = inputs_of(frozen["digest"], lambda digest: frozen["files"][digest].encode())
    assert isinstance(found.made, Judgement)
    assert found.made.situation.claim.specialist == "dates"
    assert all(r.items for r in found.made.situation.evidence.baseline.values())
    assert decide(found.made.situation).message


def test_a_record_of_each_format_is_frozen() -> None:
    assert [p.stem for p in sorted(FROZEN.glob("inputs-*.json"))] == [
        f"inputs-{n + 1}" for n in range(FORMAT)
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "has format 2; this version reads format 1"),
        ({"more": 1}, "no record of inputs"),
    ],
)
def test_a_record_of_another_format_is_refused(change: dict[str, Any], said: str) -> None:
    found = kept(judged())
    content = canonical_json(json.loads(found.files[found.digest]) | change)
    with pytest.raises(Unreadable, match=said):
        inputs_of("it", lambda _digest: content)


@dataclass(frozen=True, slots=True)
class Old:
    name: str
    count: float = 1


@dataclass(frozen=True, slots=True)
class New:
    name: str
    count: float = 1
    later: Target | None = None
    either: Reason | str = "x"


def test_a_field_that_came_later_has_its_default_and_an_unknown_one_is_refused() -> None:
    codec, parts = Codec(), Parts()
    old = codec.write(Old, Old("a", 2), parts)
    assert codec.read(New, old) == New("a", 2)
    new = codec.write(New, New("a", 2.0, Target.LIVE, Reason.SERVING), parts)
    assert codec.read(New, new) == New("a", 2.0, Target.LIVE, Reason.SERVING)
    assert type(codec.read(New, new).either) is Reason
    with pytest.raises(Unreadable, match="no field 'either'; a newer version wrote it"):
        codec.read(Old, new)
    with pytest.raises(Unreadable, match="lacks 'name'"):
        codec.read(Old, {})
    assert parts == {}


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (int, True),
        (int, "1"),
        (float, "1.0"),
        (str, 1),
        (Decimal, "one"),
        (Fraction, "1/0"),
        (datetime, "today"),
        (State, "Asleep"),
        (tuple[int, ...], {"a": 1}),
        (tuple[int, str], [1]),
        (Mapping[str, int], {"a": 1}),
        (Old, []),
        (Old | New, {"is": "Other", "of": {}}),
        (int | str, 1.5),
    ],
)
def test_what_does_not_fit_its_annotation_is_refused(kind: Any, plain: Any) -> None:
    with pytest.raises(Unreadable):
        Codec().read(kind, plain)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, True),
        (float, "1"),
        (str, 1),
        (State, "Live"),
        (Old, New("a")),
        (tuple[int, ...], [1]),
        (object, 1),
    ],
)
def test_what_is_not_what_its_annotation_says_is_not_written(kind: Any, value: Any) -> None:
    with pytest.raises(Unreadable):
        Codec().write(kind, value, {})


def test_a_record_of_a_specialist_is_kept_with_all_its_revisions() -> None:
    stands = SpecialistRecord("dates", "u", {"a" * 12: record(State.LIVE)}, live="a" * 12)
    made = Succession(stands, "b" * 12, datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1), Target.LIVE)
    inputs = Inputs(made, POLICY.prices)
    assert read(inputs) == inputs

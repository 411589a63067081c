"""The pieces of lint: rules that cannot be evaluated, odd schemas, scalars as kubectl reads them."""

from __future__ import annotations

from typing import Any

import pytest

from modelecology.cli.lint import rules
from modelecology.cli.lint.documents import parse
from modelecology.cli.lint.structural import Spot, inspect


def evaluated(rule: dict[str, Any], value: Any, kind: str = "object") -> list[tuple[str, bool]]:
    spot = Spot(("spec",), value, {"type": kind, "x-kubernetes-validations": [rule]})
    return [(problem.message, problem.note) for problem in rules.check([spot])]


def test_a_rule_that_does_not_hold_gives_its_message_at_its_field() -> None:
    rule = {"rule": "has(self.a)", "message": "a is missing", "fieldPath": ".a"}
    spot = Spot(("spec",), {}, {"type": "object", "x-kubernetes-validations": [rule]})
    assert [(p.path, p.message) for p in rules.check([spot])] == [(("spec", "a"), "a is missing.")]


def test_the_message_expression_comes_before_the_message() -> None:
    rule = {
        "rule": "false || self.a == 1",
        "message": "plain",
        "messageExpression": "'a is ' + string(self.a)",
    }
    assert evaluated(rule, {"a": 2}) == [("a is 2.", False)]
    assert evaluated(rule | {"messageExpression": "nonsense("}, {"a": 2}) == [("plain.", False)]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("quantity(self.a).isGreaterThan(quantity('0'))", "cel-python does not know"),
        ("self.b == 1", "no such member"),
        ("self.a +", "was not checked here"),
        ("self.a", "did not give true or false"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_a_note_and_never_a_pass(rule: str, why: str) -> None:
    ((message, note),) = evaluated({"rule": rule}, {"a": "1"})
    assert note
    assert why in message


def test_a_rule_about_the_older_object_does_not_apply_to_a_file() -> None:
    assert evaluated({"rule": "self == oldSelf"}, {"a": 1}) == []
    assert rules.is_transition("self.a == oldSelf.a")
    assert not rules.is_transition("self.a == 'oldSelf'")
    assert evaluated({"rule": "!oldSelf.hasValue()", "optionalOldSelf": True}, {"a": 1})[0][1]


def test_a_whole_number_of_type_number_is_a_double_to_a_rule() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    assert type(rules.to_cel({"a": 1}, schema)["a"]).__name__ == "DoubleType"


def test_the_list_functions_that_kubernetes_adds_are_there() -> None:
    assert evaluated({"rule": "self.map(x, double(x)).sum() <= 1.0"}, [0.5, 0.5], "array") == []
    assert evaluated({"rule": "self.map(x, x).sum() == 0"}, [], "array") == []
    assert (
        evaluated({"rule": "self.substring(1) == 'bc' && self.substring(0, 1) == 'a'"}, "abc", "string") == []
    )
    assert evaluated({"rule": "self.substring(9) == ''"}, "abc", "string")[0][1]


def test_a_keyword_that_lint_does_not_know_is_said() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "not": {"enum": ["x"]}}}}
    ((path, note),) = [(p.path, p.note) for p in inspect({"a": "x"}, schema).problems]
    assert (path, note) == (("a",), True)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "array", "minItems": 1}, [], "has 0 entries, fewer than 1."),
        ({"type": "array", "maxItems": 1}, [1, 2], "has 2 entries, more than 1."),
        ({"type": "array", "x-kubernetes-list-type": "set"}, ["a", "a"], 'repeats entry 0 ("a").'),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0, "0 must be above 0."),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, 1.0, "1.0 must be below 1."),
        ({"type": "integer"}, 1.5, "1.5 is of type number, but must be an integer."),
        ({"type": "string", "minLength": 2}, "a", '"a" is shorter than 2 characters.'),
        ({"type": "string", "maxLength": 2}, "abc", "is 3 characters long, more than 2."),
        ({"type": "string", "pattern": "^a$"}, "a\n", '"a\\n" does not match ^a$.'),
        ({"type": "string", "enum": ["Live", "Shadow"]}, "live", '"live" is not one of Live, Shadow.'),
        ({"type": "boolean"}, "yes", '"yes" is of type string, but must be a boolean.'),
    ],
)
def test_each_keyword_is_checked(schema: dict[str, Any], value: Any, message: str) -> None:
    found = inspect({"a": value}, {"type": "object", "properties": {"a": schema}}).problems
    assert [p.message for p in found] == [message]


def test_a_null_is_dropped_and_its_default_filled_in() -> None:
    inner = {"type": "string", "default": "x", "x-kubernetes-validations": [{"rule": "self == 'x'"}]}
    found = inspect({"a": None}, {"type": "object", "properties": {"a": inner}})
    assert found.problems == []
    assert [spot.value for spot in found.spots] == ["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("012", 10),
        ("0o12", 10),
        ("0x1F", 31),
        ("1_000", 1000),
        ("12:30:45", "12:30:45"),
        ("2026-11-24", "2026-11-24"),
        ("yes", True),
        ("~", None),
        ("'1'", "1"),
        ("168h", "168h"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(text: str, value: Any) -> None:
    (document,) = parse(f"a: {text}\n", "f")
    assert document.value["a"] == value
    assert type(document.value["a"]) is type(value)


def test_merge_keys_and_anchors_are_followed() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\nc: {<<: [*a, {z: 4}]}\n"
    (document,) = parse(text, "f")
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"x": 1, "y": 2, "z": 4}
    assert document.place(("b", "x")).line == 1
    assert document.place(("b", "y")).line == 2

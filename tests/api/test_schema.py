"""The rendered schemas: byte for byte what the models say, and structural."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from modelecology import crds
from modelecology.api.decision import DecisionSpec
from modelecology.api.meta import cel, validated
from modelecology.api.population import PopulationSpec
from modelecology.api.schema import NotStructural, structural
from modelecology.api.specialist import SpecialistSpec
from modelecology.api.suite import SuiteSpec
from modelecology.governance.lifecycle import TRANSITIONS

from .manifests import ROOT, good

NAMES = sorted(crds.rendered())
MODELS: dict[str, type[BaseModel]] = {
    "suite": SuiteSpec,
    "population": PopulationSpec,
    "specialist": SpecialistSpec,
    "decision": DecisionSpec,
}


def _schema(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load(crds.rendered()[name])
    found: dict[str, Any] = loaded["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")


def _below(name: str, *fields: str) -> list[tuple[str, dict[str, Any]]]:
    properties = _schema(name)["properties"]
    return [node for field in fields if field in properties for node in _nodes(properties[field], field)]


def test_the_committed_files_are_what_the_models_render() -> None:
    assert crds.stale(ROOT) == [], f"run `{crds.COMMAND}`"


def test_the_charts_copy_is_equal_byte_for_byte() -> None:
    ours, charts = (ROOT / place for place in crds.PLACES)
    assert sorted(path.name for path in charts.iterdir()) == NAMES
    assert sorted(path.name for path in ours.iterdir()) == ["Kustomization", *NAMES]
    for name in NAMES:
        assert (charts / name).read_bytes() == (ours / name).read_bytes()


def test_the_kustomization_beside_them_names_every_file() -> None:
    listed = yaml.safe_load((ROOT / crds.PLACES[0] / "Kustomization").read_text())
    assert listed["resources"] == NAMES


def test_check_names_the_stale_file_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert crds.main([], tmp_path) == 0
    assert crds.main(["--check"], tmp_path) == 0
    changed = tmp_path / "crds" / NAMES[0]
    changed.write_text(changed.read_text() + "\n")
    (tmp_path / "charts/modelecology/files/crds/modelecology.io_tribes.yaml").touch()
    assert crds.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0] == f"crds/{NAMES[0]} is not what the models render; run `python -m modelecology.crds`"
    assert "modelecology.io_tribes.yaml should not be there" in said[1]


def test_rendering_again_takes_away_what_no_kind_renders(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    crds.main([], tmp_path)
    (tmp_path / "crds/modelecology.io_tribes.yaml").touch()
    assert crds.main([], tmp_path) == 0
    assert crds.main(["--check"], tmp_path) == 0


def test_the_command_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crds.main(["--chek"], tmp_path) == 2
    assert crds.main([], tmp_path) == 2
    said = capsys.readouterr().err
    assert "usage: python -m modelecology.crds [--check]" in said
    assert "has no pyproject.toml" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_structural(name: str) -> None:
    for path, node in _nodes(_schema(name), ""):
        assert isinstance(node.get("type"), str), path
        strangers = {"$ref", "anyOf", "allOf", "oneOf", "const", "title"} & set(node)
        assert strangers == set(), path
        values = node.get("additionalProperties", {"type": "string", "maxLength": 1})
        assert values["type"] == "string", path
        assert "maxLength" in values, path
        if node["type"] == "array":
            assert "items" in node, path
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert node.get(bound, True) is True, path
        assert None not in [node.get("default", "")], path


@pytest.mark.parametrize("name", NAMES)
def test_every_string_and_list_has_an_end(name: str) -> None:
    free = []
    for path, node in _below(name, "spec", "status"):
        refused = any(rule["rule"] == "false" for rule in node.get("x-kubernetes-validations", ()))
        if node["type"] == "string" and not ({"maxLength", "enum", "format"} & set(node)) and not refused:
            free.append(path)
        if node["type"] == "array" and "maxItems" not in node and not refused:
            free.append(path)
    assert free == []


@pytest.mark.parametrize("name", NAMES)
def test_every_field_says_what_it_is(name: str) -> None:
    silent = [
        path
        for path, node in _below(name, "spec", "status")
        if not path.endswith("[]") and not re.fullmatch(r"\S.*[.)]|Refused: .*", node.get("description", ""))
    ]
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_names_its_remedy_and_a_field_that_exists(name: str) -> None:
    for path, node in _nodes(_schema(name), ""):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path
            here = node
            for step in rule.get("fieldPath", "").split(".")[1:]:
                here = here["properties"][step]


@pytest.mark.parametrize("name", [n for n in NAMES if "decisions" not in n])
def test_status_and_decisions_come_back_as_they_were_sent(name: str) -> None:
    assert [path for path, node in _below(name, "status") if "default" in node] == []
    assert [
        path for path, node in _nodes(_schema("modelecology.io_decisions.yaml"), "") if "default" in node
    ] == []


def test_population_and_specialist_have_a_status_subresource_and_the_others_none() -> None:
    found = {}
    for text in crds.rendered().values():
        spec = yaml.safe_load(text)["spec"]
        assert spec["scope"] == "Namespaced"
        assert spec["names"]["categories"] == ["ecology"]
        found[spec["names"]["kind"]] = "status" in spec["versions"][0].get("subresources", {})
    assert found == {"Population": True, "Specialist": True, "EvaluationSuite": False, "Decision": False}


def test_the_rule_of_edges_has_the_whole_table_and_nothing_else() -> None:
    quoted = re.search(r" in \[(.*)\]$", crds.edges()["rule"])
    assert quoted is not None
    listed = re.findall(r"'([^']+)'", quoted[1])
    assert sorted(listed) == sorted({f"{t.action}:{t.source}>{t.target}" for t in TRANSITIONS})


def test_a_word_that_yaml_takes_for_a_boolean_is_quoted() -> None:
    for text in crds.rendered().values():
        assert re.search(r"^\s*(- )?[yYnN](:|$)", text, re.MULTILINE) is None
    assert re.search(r"^\s*'n':$", crds.rendered()["modelecology.io_decisions.yaml"], re.MULTILINE)


def test_a_default_says_only_what_its_fields_do_not() -> None:
    class Inner(BaseModel):
        a: int = Field(default=1, description="A.")
        b: int = Field(default=2, description="B.")

    class Outer(BaseModel):
        same: Inner = Field(default=Inner(), description="Same.")
        other: Inner = Field(default=Inner(a=3), description="Other.")
        none: int | None = Field(default=None, description="None.")

    properties = structural(Outer, defaults=True)["properties"]
    assert properties["same"]["default"] == {}
    assert properties["other"]["default"] == {"a": 3}
    assert "default" not in properties["none"]
    bare = structural(Outer, defaults=False)["properties"]
    assert "default" not in bare["same"]
    assert "default" not in bare["same"]["properties"]["a"]


def test_the_rules_of_a_type_and_of_its_use_both_hold() -> None:
    class Inner(BaseModel):
        """What the type says."""

        model_config = {"json_schema_extra": validated(cel("self.a > 0", "a is above 0"))}
        a: int

    class Outer(BaseModel):
        used: Inner = Field(json_schema_extra=validated(cel("self == oldSelf", "used is immutable")))

    used = structural(Outer, defaults=True)["properties"]["used"]
    assert [rule["message"] for rule in used["x-kubernetes-validations"]] == [
        "a is above 0",
        "used is immutable",
    ]
    assert used["description"] == "What the type says."


def test_what_a_structural_schema_cannot_say_is_named() -> None:
    class Either(BaseModel):
        value: int | str

    class Map(BaseModel):
        value: dict[str, int]

    class Anything(BaseModel):
        value: Any

    class Pair(BaseModel):
        value: tuple[int, str]

    for model, why in (
        (Either, "Either.value: a structural schema has no alternatives of type"),
        (Map, "Map.value: a map holds strings only; use a list keyed by name"),
        (Anything, "Anything.value: a structural schema needs one type"),
        (Pair, "Pair.value: a structural schema has no prefixItems"),
    ):
        with pytest.raises(NotStructural, match=re.escape(why)):
            structural(model, defaults=True)


def test_numbers_are_written_as_kubernetes_wants_them() -> None:
    class Numbers(BaseModel):
        open: float = Field(gt=0, lt=1)
        short: int = Field(ge=0, le=64)
        long: int = Field(ge=0)

    properties = structural(Numbers, defaults=True)["properties"]
    assert properties["open"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }
    assert properties["short"]["format"] == "int32"
    assert properties["long"]["format"] == "int64"


@pytest.mark.parametrize(("kind", "model"), MODELS.items())
def test_the_models_read_and_write_a_good_manifest_without_loss(kind: str, model: type[BaseModel]) -> None:
    read = model.model_validate(good(kind)["spec"])
    written = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert model.model_validate(written) == read

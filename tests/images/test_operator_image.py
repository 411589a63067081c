"""The operator's image, built by buildah and started as a strict pod starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelecology import __version__
from testbed.images.build import CODE_LABEL, SBOM, BuiltImage, ImageBuilder
from testbed.images.buildah import Buildah
from testbed.places import say
from tests.images.hardened import Hardened, opened

pytestmark = pytest.mark.usefixtures("node_machine")
_HOME = "opt/modelecology"


@dataclass(frozen=True, slots=True)
class _Operator:
    built: BuiltImage
    code_digest: str
    inside: Hardened

    @property
    def packages(self) -> set[str]:
        """The names of what is installed, as importable."""
        (site,) = (self.inside.root / _HOME / "lib").glob("python3*/site-packages")
        return {path.name for path in site.iterdir()}


@pytest.fixture(scope="module")
def operator(node_machine: None) -> Iterator[_Operator]:
    buildah = Buildah()
    builder = ImageBuilder(progress=say, buildah=buildah)
    built = builder.build("operator")
    with opened(built.name, buildah) as inside:
        yield _Operator(built, builder.code_digest(), inside)


def test_it_starts_without_root_capabilities_or_a_writable_root(operator: _Operator, tmp_path: Path) -> None:
    done = operator.inside.run(tmp_path, "--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr


def test_its_user_is_a_number_and_not_root(operator: _Operator, tmp_path: Path) -> None:
    assert operator.inside.config["User"] == "65532:65532"
    said = operator.inside.run(tmp_path, "sh", "-c", "id -u; touch /new; touch /tmp/new", entrypoint=False)
    assert said.stdout.strip() == "65532"
    assert "/new" in said.stderr
    assert "/tmp/new" not in said.stderr


def test_it_has_what_the_operator_needs_and_no_models(operator: _Operator) -> None:
    assert {"kopf", "kubernetes", "modelecology"} <= operator.packages
    assert not operator.packages & {"torch", "ray", "transformers", "peft", "fastapi", "pip"}


def test_its_bill_of_materials_lists_what_is_in_it(operator: _Operator) -> None:
    bill = json.loads((operator.inside.root / SBOM.lstrip("/")).read_text())
    listed = {component["name"] for component in bill["components"]}
    assert bill["metadata"]["component"]["name"] == "modelecology-operator"
    assert {"kopf", "modelecology", "scipy", "libc6", "ca-certificates"} <= listed
    assert not listed & {"torch", "ray", "uv", "hatchling"}


def test_it_expects_the_jobs_of_the_image_that_is_built_with_it(operator: _Operator) -> None:
    labels = operator.inside.config["Labels"]
    assert labels[CODE_LABEL] == operator.built.code_digest == operator.code_digest
    assert f"MODELECOLOGY_JOB_CODE={operator.code_digest}" in operator.inside.config["Env"]
    assert labels["org.opencontainers.image.version"] == __version__


def test_nothing_of_the_building_machine_stays(operator: _Operator) -> None:
    root = operator.inside.root
    assert {path.name for path in (root / "opt").iterdir()} == {"modelecology"}
    assert not [name for name in ("run/client", "run/uv", "src", "tmp/uv") if (root / name).exists()]
    assert list((root / "tmp").iterdir()) == []
    assert list((root / "root").glob(".[!bp]*")) == []
    described = json.dumps(operator.inside.config)
    assert not [word for word in ("ca.pem", "INDEX", "CERT", "PROXY", "proxy") if word in described]


def test_its_bytecode_is_valid_whatever_the_times_of_the_files_are(operator: _Operator) -> None:
    sources = list((operator.inside.root / _HOME / "lib").rglob("kopf/**/*.py"))
    assert sources
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
        # By PEP 552: 1 says that it is checked by hash, and the bit for "look at the source" is not set.
        assert flags == 1

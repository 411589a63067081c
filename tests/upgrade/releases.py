"""The frozen releases: what each one has left behind."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PLACE = "/srv/desk"  # stands in the frozen objects for where data and store lie
MOMENT = "seconds"  # since the stage's start, when the release was frozen
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """One frozen release, by its tag."""

    tag: str

    @property
    def root(self) -> Path:
        """Its folder."""
        return HERE / self.tag

    @property
    def crds(self) -> Path:
        """Its CustomResourceDefinitions."""
        return self.root / "crds"

    @property
    def objects(self) -> Path:
        """Its suites, populations and specialists, with their statuses."""
        return self.root / "objects.json"

    @property
    def decisions(self) -> Path:
        """Its log."""
        return self.root / "decisions.json"

    @property
    def about(self) -> Path:
        """What else there is to say."""
        return self.root / "about.json"

    @property
    def files(self) -> Path:
        """Its data and its store, packed."""
        return self.root / "files.tar.xz"

    def schemas(self) -> dict[str, Object]:
        """Read its schemas by kind."""
        found = (
            yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(self.crds.glob("*.yaml"))
        )
        return {crd["spec"]["names"]["kind"]: schema_of(crd) for crd in found}

    def read_objects(self, place: Path) -> list[Object]:
        """Read its objects, moved to a place."""
        return _read(self.objects, place)

    def read_decisions(self) -> list[Object]:
        """Read its log, oldest first."""
        found = _read(self.decisions, Path(PLACE))
        return sorted(found, key=lambda d: int(d["spec"]["sequence"]))

    def moment(self) -> float:
        """Say when it was frozen, in seconds since the stage's start."""
        return float(json.loads(self.about.read_text(encoding="utf-8"))[MOMENT])

    def unpack(self, place: Path) -> None:
        """Lay its data and its store into a place."""
        with tarfile.open(self.files) as archive:
            archive.extractall(place, filter="data")


def _read(path: Path, place: Path) -> list[Object]:
    found: list[Object] = json.loads(path.read_text(encoding="utf-8").replace(PLACE, str(place)))
    return found


def schema_of(crd: Object) -> Object:
    """Take the schema of the one version out of a CustomResourceDefinition."""
    (version,) = crd["spec"]["versions"]
    found: Object = version["schema"]["openAPIV3Schema"]
    return found


def releases() -> tuple[Release, ...]:
    """List the frozen releases, oldest first."""
    found = sorted(path.name for path in HERE.glob("v*.*.*"))
    return tuple(Release(tag) for tag in sorted(found, key=lambda t: [int(n) for n in t[1:].split(".")]))

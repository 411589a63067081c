"""Freezes what a release leaves behind, for the tests of every later one: python -m tests.upgrade.freeze.

It plays the scenario in memory with the code of the working tree and writes tests/upgrade/v<version>/: the
CRDs, the objects with their statuses, the log, and the store with its data. What is frozen never changes.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from modelecology.kube.cluster import DECISION, POPULATION, SPECIALIST, SUITE

from ..reconcile.stage import NAMESPACE, Stage
from .releases import HERE, MOMENT, PLACE, Release
from .scenario import play

ROOT = HERE.parents[1]
Object = dict[str, Any]


async def freeze(release: Release) -> None:
    """Play the scenario and write the release's files."""
    with tempfile.TemporaryDirectory(prefix="modelecology-freeze-") as directory:
        stage = Stage(Path(directory))
        try:
            await play(stage)
            objects = [o for kind in (SUITE, POPULATION, SPECIALIST) for o in await _all(stage, kind)]
            decisions = await _all(stage, DECISION)
        finally:
            await stage.runtime.close()
        release.crds.mkdir(parents=True)
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            shutil.copyfile(path, release.crds / path.name)
        for path, found in ((release.objects, objects), (release.decisions, decisions)):
            path.write_text(_json(found).replace(directory, PLACE), encoding="utf-8")
        release.about.write_text(_json({MOMENT: stage.clock.seconds}), encoding="utf-8")
        release.files.write_bytes(_archived(Path(directory)))


async def _all(stage: Stage, kind: Any) -> list[Object]:
    return await stage.cluster.list(kind, NAMESPACE)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _archived(directory: Path) -> bytes:
    """Pack the data and the store; nothing in it tells where, when or by whom."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for path in sorted(directory.iterdir()):
            archive.add(path, arcname=path.name, filter=anonymous)
    return packed.getvalue()


def main() -> int:
    """Freeze the working tree's version; refuses to change one that is frozen."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    release = Release(f"v{project['version']}")
    if release.root.exists():
        print(f"{release.root} is frozen. Raise the version in pyproject.toml first.", file=sys.stderr)
        return 1
    asyncio.run(freeze(release))
    print(f"Wrote {release.root}. Next: git add it, and .venv/bin/pytest tests/upgrade")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

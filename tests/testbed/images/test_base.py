"""The base image is made once for a recipe; the rest is shown by the pods that run in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from testbed.images import base
from testbed.images.buildah import Buildah


class _Store(Buildah):
    """A store that holds what it is told to."""

    def __init__(self, *names: str) -> None:
        super().__init__(Path("/nonexistent"))
        self.names = names

    def has(self, name: str) -> bool:
        return name in self.names


def _silent(_: str) -> None:
    return None


def test_an_image_that_is_there_is_not_made_again() -> None:
    name = f"{base.REPOSITORY}:{base.recipe_digest()}"
    assert base.base_image(_silent, _Store(name)) == name


def test_another_recipe_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.recipe_digest()
    assert before == base.recipe_digest()
    monkeypatch.setattr(base, "_PACKAGES", (*base._PACKAGES, "git"))
    assert base.recipe_digest() != before


def test_a_user_who_cannot_make_it_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(base.ImageBuildFailed, match="apt-get install debootstrap"):
        base.base_image(_silent, _Store())

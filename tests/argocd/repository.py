"""A git repository in a folder: what an Application of Argo CD is synced from."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

_IDENTITY = ("-c", "user.name=owner", "-c", "user.email=owner@example.com", "-c", "commit.gpgsign=false")


class Repository:
    """A repository with one branch, `main`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        """The address to clone it from."""
        return f"file://{self._directory}"

    def commit(self, message: str, files: Mapping[str, str | None]) -> str:
        """Write files, or take those away whose text is None, and commit; gives the commit's id."""
        for name, text in files.items():
            if text is None:
                (self._directory / name).unlink()
            else:
                (self._directory / name).write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", f"--message={message}")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *_IDENTITY, *arguments], cwd=self._directory, capture_output=True, text=True, check=True
        )
        return done.stdout

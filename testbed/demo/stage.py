"""Where the demo plays: what the story needs of the parts, however they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path

from testbed.places import REPOSITORY

DIRECTORY = REPOSITORY / ".demo"


class Stage(AbstractContextManager["Stage"], ABC):
    """All real parts, started when it is entered and ended when it is left, unless they are kept."""

    title: str

    @property
    @abstractmethod
    def namespace(self) -> str:
        """Where the population lives."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    @abstractmethod
    def kubectl_program(self) -> Path:
        """The kubectl that fits."""

    @property
    @abstractmethod
    def engine(self) -> str:
        """Where requests are answered."""

    @property
    @abstractmethod
    def token(self) -> str | None:
        """What the engine asks for, if it asks."""

    @property
    @abstractmethod
    def apply_title(self) -> str:
        """The command by which a user would bring the population in."""

    @abstractmethod
    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace. Raises KubectlFailed."""

    @abstractmethod
    def apply(self) -> str:
        """Bring the population in; what the command said."""

    @abstractmethod
    def release(self) -> None:
        """Let everything live on after this process."""


def shown(path: Path) -> str:
    """Write a path as a user in the repository would."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)

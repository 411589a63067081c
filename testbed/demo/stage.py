"""Where the demo plays: what the story needs of the parts, however they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from testbed.places import REPOSITORY

DIRECTORY = REPOSITORY / ".demo"
POPULATION = "desk"


@dataclass(frozen=True, slots=True)
class Door:
    """Where users come in: the gateway, the file of its token, and the folder of what they ask."""

    gateway: str
    token_file: Path
    questions: Path


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
    def door(self) -> Door | None:
        """Where users come in; None where there is no gateway."""
        return None

    def wait_for_door(self) -> None:
        """Wait until the gateway knows where requests go. Raises StartFailed."""

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

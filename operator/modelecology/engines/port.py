"""The port for servers of one base model with many LoRA adapters, as narrow as vLLM's own API."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from modelecology.api.reasons import Reason


class EngineError(Exception):
    """Something went wrong between us and an engine."""

    reason: ClassVar[Reason]
    retry: ClassVar[bool]


class EngineUnreachable(EngineError):
    """The engine did not answer in time, or answered that it cannot serve now: ask again later."""

    reason: ClassVar[Reason] = Reason.ENGINE_UNREACHABLE
    retry: ClassVar[bool] = True


class AnswerFailed(EngineUnreachable):
    """The engine broke over one answer, or was not done in time; whether others come is to be asked of it."""


class EngineRefused(EngineError):
    """The engine understood the request and said no; the same request again gets the same answer.

    `status` is the HTTP status, `message` the engine's own words.
    """

    reason: ClassVar[Reason] = Reason.ENGINE_REFUSED
    retry: ClassVar[bool] = False

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"engine answered {status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One line of an engine's own list of models; adapters have a parent, the base has none."""

    id: str
    root: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One question whose answer tells an adapter from its base, and how each of them began its answer."""

    prompt: str
    expected: str
    base: str
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The questions by which an adapter is recognised when it is served. Empty proves nothing."""

    probes: tuple[Probe, ...]


@runtime_checkable
class Engine(Protocol):
    """One replica of a multi-LoRA server.

    Every call raises EngineUnreachable or EngineRefused, and `chat` AnswerFailed.
    """

    @property
    def endpoint(self) -> str:
        """The replica's address, e.g. http://127.0.0.1:8000."""
        ...

    async def models(self) -> tuple[ModelCard, ...]:
        """What the engine says it serves now: the base and every resident adapter."""
        ...

    async def load(self, name: str, path: str) -> None:
        """Ask the engine to serve the adapter in directory `path` under `name`.

        An engine that already serves the name raises EngineRefused with status 400.
        """
        ...

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        """Ask the engine to forget the adapter; a name it does not know is success.

        An engine that lets requests under way end first gives them no more than `drain_seconds`.
        """
        ...

    async def busy(self) -> frozenset[str] | None:
        """The adapters for which requests run or wait now; None where the engine does not say."""
        ...

    async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
        """The greedy answer of `model` to one user message; at most `max_tokens` tokens long."""
        ...

    async def close(self) -> None:
        """Release connections; the object is of no use afterwards."""
        ...

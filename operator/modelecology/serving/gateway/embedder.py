"""The port for a model of embeddings, and its double."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Vector: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model of embeddings answers, and what it is called there."""

    endpoint: str
    model: str


class EmbedderAway(Exception):
    """The model has not answered, or not as it must. Ask again later; `slow` if its time was over."""

    retry = True

    def __init__(self, why: str, *, slow: bool = False) -> None:
        super().__init__(why)
        self.slow = slow


class Embedder(Protocol):
    """Gives texts directions: those of texts that mean much the same are close to each other."""

    async def embed(self, place: Place, texts: Sequence[str], seconds: float) -> Sequence[Vector]:
        """Embed texts, one vector each in their order, all of one length. Raises EmbedderAway."""

    async def close(self) -> None:
        """End well."""


class RuleEmbedder:
    """Embeds by a rule, for tests; what the rule raises is the model's failure."""

    def __init__(self, rule: Callable[[str], Vector]) -> None:
        self._rule = rule
        self.asked: list[tuple[str, ...]] = []

    async def embed(self, place: Place, texts: Sequence[str], seconds: float) -> Sequence[Vector]:
        """Embed by the rule."""
        self.asked.append(tuple(texts))
        return [self._rule(text) for text in texts]

    async def close(self) -> None:
        """End well."""

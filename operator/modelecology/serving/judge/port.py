"""The port for a judge, and its double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .comparison import Comparison, Word


class JudgeAway(Exception):
    """The judge cannot be asked now, whatever the question is. Ask again later."""

    retry = True


class JudgeFailed(Exception):
    """The judge has not judged this comparison, and will not if it is asked again."""

    retry = False


class Judge(Protocol):
    """Says which of two answers is better."""

    async def ask(self, comparison: Comparison) -> Word:
        """Ask once. Raises JudgeAway, JudgeFailed."""

    async def close(self) -> None:
        """End well."""


class RuleJudge:
    """Judges by a rule, for tests; what the rule raises is the judge's failure."""

    def __init__(self, rule: Callable[[Comparison], Word]) -> None:
        self._rule = rule
        self.asked: list[Comparison] = []

    async def ask(self, comparison: Comparison) -> Word:
        """Ask the rule."""
        self.asked.append(comparison)
        return self._rule(comparison)

    async def close(self) -> None:
        """End well."""

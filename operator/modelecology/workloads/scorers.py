"""Scores one answer: 0 is wrong, 1 is right, and more is better for every scorer.

Choice and Perplexity look at likelihoods, the others at the text that was generated.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable

from modelecology.governance import scoring
from modelecology.jobs.intents import EvaluationTask
from modelecology.workloads.errors import JudgeBroken
from modelecology.workloads.rows import EvalItem

TextScorer = Callable[[EvalItem, str], float]

LIKELIHOOD_SCORERS = frozenset({"Choice", "Perplexity"})
READ_LIMIT = 16_000
"""Characters of the longest answer that a pattern is tried on, so that no text keeps it busy for long."""


def _accepted(item: EvalItem) -> tuple[str, ...]:
    return (item.answer, *item.choices)


def exact(item: EvalItem, output: str) -> float:
    """Score 1 when the answer, or one of its other spellings, is all that was said, white space aside."""
    return scoring.exact(_accepted(item), output)


def contains(item: EvalItem, output: str) -> float:
    """Score 1 when the answer, or one of its other spellings, stands in the text as whole words."""
    return scoring.contains(_accepted(item), output)


def pattern_scorer(pattern: str) -> TextScorer:
    """Make a scorer that gives 1 when the pattern matches all of the answer, white space around it aside.

    `{answer}` in it is the item's answer. What is longer than READ_LIMIT matches nothing. Raises JudgeBroken
    for a pattern that is none.
    """
    try:
        re.compile(pattern.replace("{answer}", "x"))
    except re.error as error:
        raise JudgeBroken(f"The pattern {pattern!r} is no regular expression: {error}; mend it.") from error

    def score(item: EvalItem, output: str) -> float:
        made = pattern.replace("{answer}", re.escape(item.answer))
        said = output.strip()
        return float(len(said) <= READ_LIMIT and re.fullmatch(made, said) is not None)

    return score


def entry_point_scorer(entry_point: str) -> TextScorer:
    """Make a scorer of `module:name`, a function f(prompt=, answer=, output=) -> number from 0 to 1.

    Raises JudgeBroken when it cannot be imported, fails, or gives something else: never a pass.
    """
    module, _, name = entry_point.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise JudgeBroken(f"The entry point {entry_point} cannot be imported: {error}; mend it.") from error

    def score(item: EvalItem, output: str) -> float:
        try:
            value = float(function(prompt=item.prompt, answer=item.answer, output=output))
        except Exception as error:
            raise JudgeBroken(
                f"The entry point {entry_point} failed on item {item.id!r}: {error}."
            ) from error
        if not 0.0 <= value <= 1.0:
            raise JudgeBroken(f"The entry point {entry_point} gave {value} for item {item.id!r}, not 0 to 1.")
        return value

    return score


def text_scorer(task: EvaluationTask) -> TextScorer:
    """Give the scorer of a task that is judged by its text; raises JudgeBroken."""
    if task.scorer == "Exact":
        return exact
    if task.scorer == "Contains":
        return contains
    if task.scorer == "Regex":
        return pattern_scorer(task.pattern or "")
    return entry_point_scorer(task.entry_point or "")


def best_choice(choices: tuple[str, ...], log_likelihoods: tuple[float, ...]) -> str:
    """Give the likeliest choice; of equals, the first."""
    return choices[max(range(len(choices)), key=lambda index: (log_likelihoods[index], -index))]


def inverse_perplexity(log_likelihood: float, tokens: int) -> float:
    """Give 1 / perplexity, the geometric mean probability of a token: more is better, 1 is the most."""
    return min(1.0, math.exp(log_likelihood / max(tokens, 1)))

"""How an answer's text is scored against what would have been right: 0 is wrong, 1 is right."""

from __future__ import annotations

import re
from collections.abc import Iterable


def exact(accepted: Iterable[str], output: str) -> float:
    """Score 1 when one of the accepted texts is all that was said, white space aside."""
    return float(_squeezed(output) in {_squeezed(text) for text in accepted})


def contains(accepted: Iterable[str], output: str) -> float:
    """Score 1 when one of the accepted texts stands in what was said as whole words, in any case."""
    said = _squeezed(output).casefold()
    words = (re.escape(_squeezed(text).casefold()) for text in accepted)
    return float(any(re.search(rf"(?<!\w){each}(?!\w)", said) for each in words))


def _squeezed(text: str) -> str:
    return " ".join(text.split())

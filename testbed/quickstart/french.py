"""Numbers, and the French words for them."""

from __future__ import annotations

import random

from num2words import num2words


def number_words(count: int, seed: int) -> list[tuple[str, str]]:
    """Make distinct (prompt, answer) pairs of numbers from 1 to 999."""
    numbers = random.Random(seed).sample(range(1, 1000), count)
    return [
        (f"Write the number {number} in French words.", num2words(number, lang="fr")) for number in numbers
    ]

"""The examples of all tasks as directions, and the one that a request is most like. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .embedder import EmbedderAway, Vector
from .plan import Example


class Prototypes:
    """Examples with their vectors, of one length. Raises EmbedderAway for vectors that point nowhere."""

    def __init__(self, examples: Sequence[Example], vectors: Mapping[str, Vector]) -> None:
        self._examples = tuple(examples)
        lengths = {len(vectors[example.text]) for example in examples}
        if len(lengths) > 1:
            raise EmbedderAway("the vectors of the examples are of several lengths")
        self._directions = np.stack([_direction(vectors[example.text]) for example in examples])

    def nearest(self, vector: Vector) -> tuple[Example, float]:
        """Find the example that is most like a request, and how much: the cosine. Raises EmbedderAway."""
        direction = _direction(vector)
        if direction.shape != self._directions.shape[1:]:
            raise EmbedderAway("its vectors have another length than those of the examples")
        cosines = self._directions @ direction
        place = int(np.argmax(cosines))
        return self._examples[place], min(1.0, max(-1.0, float(cosines[place])))


def _direction(vector: Vector) -> NDArray[np.float64]:
    found = np.asarray(vector, dtype=np.float64)
    with np.errstate(all="ignore"):
        length = float(np.linalg.norm(found))
    if not np.isfinite(length) or length == 0.0:
        raise EmbedderAway("a vector of it points nowhere")
    return found / length

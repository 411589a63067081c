"""What earlier trainings of a population took: the next one is expected to take as much a step."""

from __future__ import annotations

from decimal import Decimal
from statistics import median

from modelecology.store import StoreError

from .frame import Frame

_LOOKED_AT = 32


def seconds_per_step(frame: Frame) -> Decimal | None:
    """Give the median CPU-seconds a step of the trainings in the log; None while there is none.

    Reads the store: run it in a thread.
    """
    found = [_of(frame, key) for key in sorted(frame.log.made)[:_LOOKED_AT]]
    known = [seconds for seconds in found if seconds is not None]
    return Decimal(str(round(median(known), 3))) if known else None


def _of(frame: Frame, key: str) -> float | None:
    try:
        manifest = frame.store.manifest(key)
    except StoreError:
        return None  # archived, deleted, or not readable now: others tell as much
    recipe = manifest.meta.get("recipe")
    steps = recipe.get("steps") if isinstance(recipe, dict) else None
    return manifest.cost.cpu_seconds / steps if isinstance(steps, int) and steps > 0 else None

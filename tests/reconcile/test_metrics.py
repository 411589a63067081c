"""What the operator tells of what is live: its size, and what users say of it while somebody does."""

from __future__ import annotations

from modelecology.reconcile.metrics import REGISTRY

from .gateway import begun
from .stage import NAMESPACE, Stage

WHERE = {"namespace": NAMESPACE, "population": "desk"}


def told(metric: str, revision: str, **labels: str) -> float | None:
    """One series as it is scraped; None where there is none."""
    return REGISTRY.get_sample_value(metric, {**WHERE, "revision": revision, **labels})


async def test_size_and_quality_of_what_is_live_are_told_until_it_is_gone(stage: Stage) -> None:
    gateway = await begun(stage, {"sample": 0.5})
    name: str = stage.status("dates")["live"]["servedName"]
    size = told("modelecology_resident_bytes", name)
    assert size is not None
    assert size > 0
    assert told("modelecology_live_quality", name, bound="low") is None
    gateway.answered([1.0, 1.0, 0.0, 1.0] * 20)
    await stage.settle(20.0)
    low = told("modelecology_live_quality", name, bound="low")
    high = told("modelecology_live_quality", name, bound="high")
    assert low is not None
    assert high is not None
    assert low < 0.75 < high
    await stage.want("dates", "Retired")
    await stage.settle(20.0)
    assert told("modelecology_resident_bytes", name) is None
    assert told("modelecology_live_quality", name, bound="low") is None

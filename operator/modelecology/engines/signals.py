"""Which adapters have requests, as an engine's metrics tell it."""

from __future__ import annotations

from typing import Final

from prometheus_client.parser import text_string_to_metric_families

COUNTED: Final = "modelecology_engine_adapter_requests"
"""The CPU engine's gauge: requests that run or wait, a series for each adapter."""

TIMED: Final = "vllm:lora_requests_info"
"""vLLM's gauge: a series for each set of adapters that ever had requests, its value when that was last so."""

_END_OF_CLOCKS: Final = 3e9
"""Seconds since 1970 that no clock shows before 2065; several servers of one engine add theirs up."""


def busy_adapters(text: str) -> frozenset[str] | None:
    """Name the adapters with requests that run or wait; None where the metrics do not say, or not clearly.

    vLLM writes its gauge at each step of the engine, the one that ends a request included. What a client
    broke off stays named until the next step.
    """
    lines = (line for line in text.splitlines() if COUNTED in line or TIMED in line)
    try:
        families = {f.name: f.samples for f in text_string_to_metric_families("\n".join(lines) + "\n")}
    except ValueError:
        return None
    if COUNTED in families:
        return frozenset(s.labels.get("model", "") for s in families[COUNTED] if s.value > 0)
    if TIMED not in families:
        return None
    newest = max((s.value for s in families[TIMED]), default=0.0)
    if newest > _END_OF_CLOCKS:
        return None
    now = [s.labels for s in families[TIMED] if s.value == newest]
    joined = [labels.get(f"{state}_lora_adapters", "") for labels in now for state in ("running", "waiting")]
    return frozenset(name for names in joined for name in names.split(",") if name)

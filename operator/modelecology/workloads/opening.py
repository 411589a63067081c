"""Opens the model that an evaluation asks: the base, an adapter on it, or one that is served."""

from __future__ import annotations

import os
from typing import Any

from peft import PeftModel

from modelecology.jobs.intents import EvaluateIntent
from modelecology.store import ArtifactStore
from modelecology.workloads.adapter import CONFIG, WEIGHTS
from modelecology.workloads.answerers import Answerer, LocalAnswerer, ServedAnswerer
from modelecology.workloads.base import checked_base
from modelecology.workloads.errors import AdapterUnsound
from modelecology.workloads.meter import Meter
from modelecology.workloads.model import load_base, make_deterministic, wrapping

ENGINE_TOKEN = "MODELECOLOGY_ENGINE_TOKEN"


def open_answerer(intent: EvaluateIntent, store: ArtifactStore, meter: Meter) -> Answerer:
    """Open it; the adapter's bytes are hashed again first.

    Raises the Base and Store errors and AdapterUnsound.
    """
    if intent.served is not None:
        return ServedAnswerer(intent.served.endpoint, intent.served.model, os.environ.get(ENGINE_TOKEN))
    if intent.adapter is not None:
        files = set(store.verify(intent.adapter.key).files)
        if files != {CONFIG, WEIGHTS}:
            raise AdapterUnsound(
                f"Artifact {intent.adapter.key[:12]} is no adapter: it holds {sorted(files)}."
            )
    checked = checked_base(intent.base, store.places)
    make_deterministic(0, intent.threads)
    base = load_base(checked)
    meter.on_gpu = base.device.type == "cuda"
    model: Any = base.model
    if intent.adapter is not None:
        with wrapping():
            model = PeftModel.from_pretrained(base.model, store.local_path(intent.adapter.key))
        model.eval()
    return LocalAnswerer(base, model)

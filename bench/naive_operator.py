"""An operator as kopf's documentation teaches it: python -m bench.naive_operator STATE-DIR NAMESPACE PORT.

It walks the same states as the real one, on the same doubles. A creation handler orders the training, a timer
asks every second whether the job has ended, the status is patched by kopf, and kopf keeps its own notes in
annotations and finalizers. It records no Decision, proves no fingerprint, and judges by one mean: what it
leaves out makes it cheaper, not dearer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import kopf

from bench.desk import NAIVE_GROUP, NAIVE_PLURAL
from bench.naive_jobs import Wish
from modelecology.engines.double import EngineDouble
from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.port import JobPhase

KIND = (NAIVE_GROUP, "v1", NAIVE_PLURAL)
POLL_SECONDS = 1.0
BETTER_BY = 0.05


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers work on."""

    runner: InMemoryRunner
    engine: EngineDouble


@kopf.on.create(*KIND)
async def created(name: str, spec: Any, body: Any, patch: kopf.Patch, memo: Any, **_: Any) -> None:
    """Order the training."""
    job = Wish.of(name, spec).training()
    await memo.parts.runner.submit(job)
    _move(patch, body, "Training", job.name, "The adapter is trained.")


@kopf.on.update(*KIND, field="spec.lifecycle.target")
async def retargeted(name: str, spec: Any, body: Any, patch: kopf.Patch, memo: Any, **_: Any) -> None:
    """Retire it when its owner asks for that."""
    if spec["lifecycle"]["target"] == "Retired":
        await memo.parts.engine.unload(Wish.of(name, spec).served_name)
        _move(patch, body, "Retired", None, "Its owner retired it.")


@kopf.timer(*KIND, interval=POLL_SECONDS)
async def look(name: str, body: Any, patch: kopf.Patch, memo: Any, **_: Any) -> None:
    """Ask for the job of the state, and take the next step when it has ended."""
    spec, status = body["spec"], body.get("status", {})
    job = status.get("job")
    if not job:
        return
    found = await memo.parts.runner.status(job)
    if found is None or not found.phase.finished:
        return
    wish, state = Wish.of(name, spec), status["state"]
    if found.phase is not JobPhase.Succeeded:
        _move(patch, body, "Failed", None, found.message)
    elif state == "Training":
        order = wish.evaluation("Main")
        await memo.parts.runner.submit(order)
        _move(patch, body, "Evaluating", order.name, "The adapter is there; it is evaluated.")
    elif state == "Evaluating":
        score = wish.score("Main")
        if score < wish.target + BETTER_BY:
            _move(patch, body, "Rejected", None, f"It scores {score:.2f}; {wish.target:.2f} is asked.")
            return
        await memo.parts.engine.load(wish.served_name, wish.adapter_path())
        order = wish.evaluation("Shadow")
        await memo.parts.runner.submit(order)
        _move(patch, body, "Shadow", order.name, f"It scores {score:.2f}; it is asked through the engine.")
    elif state == "Shadow":
        score = wish.score("Shadow")
        _move(patch, body, "Live", None, f"It scores {score:.2f} through the engine.")


def _move(patch: kopf.Patch, body: Any, state: str, job: str | None, message: str) -> None:
    patch.status["state"] = state
    patch.status["job"] = job
    patch.status["message"] = message
    patch.status["observedGeneration"] = body["metadata"]["generation"]
    kopf.info(body, reason=state, message=message)


def main() -> None:
    """Run until told to stop."""
    state, namespace, port = sys.argv[1:]
    kopf.configure(verbose=False)
    kopf.run(
        standalone=True,
        namespaces=[namespace],
        liveness_endpoint=f"http://127.0.0.1:{port}/healthz",
        memo=kopf.Memo(parts=Parts(InMemoryRunner(directory=state), EngineDouble(capacity=64))),
    )


if __name__ == "__main__":
    main()

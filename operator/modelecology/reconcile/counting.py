"""Counts the jobs that an earlier process left running, before this one starts any more of them."""

from __future__ import annotations

import asyncio

from modelecology.governance.lifecycle import WORKING

from .frame import Frame
from .job_names import of_owner
from .observe import Observer
from .orders import Order, ask
from .queue import WorkKey
from .rivals import results_due
from .runtime import Runtime, root_of


def attach(runtime: Runtime, frame: Frame, order: Order, waiter: WorkKey) -> None:
    """Count a job that runs, whatever the limit says, and remember who waits for it."""
    name = order.spec.name
    if order.takes_slot:
        runtime.slots.adopt((frame.namespace, frame.name), name)
    runtime.running[waiter] = name
    runtime.makes[name] = (root_of(frame.population), order.commits)
    runtime.waiting.setdefault(name, set()).add(waiter)


async def count_running(runtime: Runtime, frame: Frame) -> None:
    """Count them once a population: only the log knows their names. Raises RunnerError, StoreError."""
    where = (frame.namespace, frame.name)
    async with runtime.counting:
        if where in runtime.counted:
            return
        for waiter, order in await asyncio.to_thread(_orders, runtime, frame):
            status = await runtime.runner(frame.population).runner.status(order.spec.name)
            if status is not None and not status.phase.finished:
                attach(runtime, frame, order, waiter)
        runtime.counted.add(where)


def _orders(runtime: Runtime, frame: Frame) -> list[tuple[WorkKey, Order]]:
    found: list[tuple[WorkKey, Order]] = []
    for specialist in runtime.cache.specialists(frame.namespace, frame.name):
        observer = Observer(frame, specialist, runtime.results, runtime.now())
        if observer.record.state not in WORKING:
            continue
        order = observer.see().order
        if order is not None:
            found.append((WorkKey("Specialist", frame.namespace, specialist.metadata.name), order))
    if due := results_due(frame):
        attempts = runtime.attempts.get((frame.namespace, frame.name), 0)
        order = of_owner(frame, ask(frame, due, attempts), frame.population.metadata.uid, attempts)
        found.append((WorkKey("Population", frame.namespace, frame.name), order))
    return found

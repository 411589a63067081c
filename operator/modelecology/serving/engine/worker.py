"""The one thread that owns the model: mixes waiting prompts into the batch and obeys orders between steps."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .batch import Batch, Completion, Mind, Prompt, Row
from .refusal import broken, unavailable

GATHER_SECONDS: Final = 0.005
"""How long an idle engine waits for company before it starts a batch."""

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """What the worker tells of its work; `EngineMetrics` is one."""

    def stepped(self, rows: int) -> None:
        """One pass over the model was made for so many rows."""
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    act: Callable[[], Any]
    future: Future[Any]


class Worker:
    """Serves at most `max_rows` prompts at once and keeps at most `max_waiting` more."""

    def __init__(self, watcher: Watcher, *, max_rows: int, max_waiting: int) -> None:
        self._watcher = watcher
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._news = threading.Condition()
        self._waiting: deque[Row] = deque()
        self._orders: deque[_Order] = deque()
        self._stopping = False
        self._running = 0
        self._mind: Mind | None = None
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Prompts that no batch has taken up yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Prompts in the batch under way."""
        return self._running

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Fail what waits and runs, and end the thread; wait at most `timeout` seconds for it."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def adopt(self, mind: Mind) -> None:
        """Serve prompts with this model from now on."""
        with self._news:
            self._mind = mind
            self._news.notify()

    def submit(self, prompt: Prompt, hear: Callable[[str], None] | None = None) -> Future[Completion]:
        """Ask for one answer, and for its pieces as they are written, told in the model's thread.

        Raises Refusal (503) if too many wait already, or the engine is stopping.
        """
        row = Row(prompt, hear)
        with self._news:
            if self._stopping:
                raise unavailable("The engine is stopping.")
            if len(self._waiting) >= self._max_waiting:
                raise unavailable(f"{self._max_waiting} requests wait already; try again later.")
            self._waiting.append(row)
            self._news.notify()
        return row.future

    def call(self, act: Callable[[], Any]) -> Future[Any]:
        """Run `act` in the model's thread between two steps. Raises Refusal (503) when the engine stops."""
        order = _Order(act, Future())
        with self._news:
            if self._stopping:
                raise unavailable("The engine is stopping.")
            self._orders.append(order)
            self._news.notify()
        return order.future

    def _run(self) -> None:
        batch: Batch | None = None
        while not self._stopping:
            if batch is None and self._mind is not None:
                batch = Batch(self._mind)
            newcomers = self._wait(batch)
            if batch is not None:
                self._advance(batch, newcomers)
        stopping = unavailable("The engine is stopping.")
        if batch is not None:
            batch.fail(stopping)
        for row in self._waiting:
            row.fail(stopping)
        for order in self._orders:
            order.future.set_exception(stopping)

    def _wait(self, batch: Batch | None) -> list[Row]:
        """Block while there is nothing to do, run the orders, and take the prompts that fit."""
        with self._news:
            self._news.wait_for(
                lambda: (
                    self._stopping
                    or self._orders
                    or (batch is None and self._mind is not None)
                    or (batch is not None and (batch.rows or self._waiting))
                )
            )
            if batch is not None and not batch.rows and self._waiting:
                self._news.wait_for(
                    lambda: self._stopping or len(self._waiting) >= self._max_rows, GATHER_SECONDS
                )
            orders, self._orders = self._orders, deque()
        if batch is not None:
            # First, so that no order deletes an adapter which a row still uses.
            batch.drop_abandoned()
        for order in orders:
            _obey(order)
        newcomers: list[Row] = []
        with self._news:
            while batch is not None and self._waiting and len(batch.rows) + len(newcomers) < self._max_rows:
                row = self._waiting.popleft()
                if not row.future.done():
                    newcomers.append(row)
        return newcomers

    def _advance(self, batch: Batch, newcomers: list[Row]) -> None:
        if newcomers:
            self._running = len(batch.rows) + len(newcomers)
            try:
                batch.admit(newcomers)
            except Exception as error:  # whatever torch raises, the others go on
                log.exception("a prompt could not be read")
                for row in newcomers:
                    row.fail(broken(f"The engine failed to read the prompt: {type(error).__name__}"))
            self._watcher.stepped(len(newcomers))
        elif batch.rows:
            count = len(batch.rows)
            try:
                batch.step()
            except Exception as error:
                log.exception("a batch failed")
                batch.fail(broken(f"The engine failed while it answered: {type(error).__name__}"))
            self._watcher.stepped(count)
        self._running = len(batch.rows)


def _obey(order: _Order) -> None:
    try:
        outcome = order.act()
    except Exception as error:  # the one who gave the order gets it
        failure: Exception | None = error
    else:
        failure = None
    try:
        if failure is not None:
            order.future.set_exception(failure)
        else:
            order.future.set_result(outcome)
    except InvalidStateError:
        return

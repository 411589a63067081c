"""Which adapters are served, under which names, and when one may be deleted. Lives in the event loop only."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

from .admission import AdapterFiles, admit
from .batch import Completion
from .fit import LoraWeights
from .metrics import EngineMetrics
from .pool import BASE_SLOT, Slot
from .readers import readers
from .refusal import Refusal, bad_request, not_found, unavailable

INVALID: Final = "InvalidUserInput"
MAX_NAME_LENGTH: Final = 253
_END_AGAIN_SECONDS: Final = 0.05


class Loader(Protocol):
    """What the residents need of the model; `Generalist` is one."""

    def fit(self, files: AdapterFiles) -> LoraWeights:
        """Make an admitted adapter ready; any thread may call it."""
        ...

    def attach(self, weights: LoraWeights) -> Slot:
        """Make an adapter resident."""
        ...

    def detach(self, key: str) -> None:
        """Delete an adapter's weights."""
        ...


Call = Callable[[Callable[[], Any]], "Future[Any]"]
"""Runs something in the model's thread."""


@dataclass(slots=True, eq=False)
class Resident:
    """One served name. `running` are its requests; once `leaving`, it takes no more of them."""

    name: str
    path: str
    slot: Slot
    leaving: bool = False
    running: set["Use"] = field(default_factory=set)
    idle: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class Use:
    """One request's hold on a model; its answers are listed so that they can be ended."""

    slot: str
    futures: list[Future[Completion]] = field(default_factory=list)


class Residents:
    """The adapters of one base named `base`: at most `capacity`, of `max_rank`, from `roots` if given."""

    def __init__(
        self,
        base: str,
        metrics: EngineMetrics,
        *,
        capacity: int,
        max_rank: int,
        roots: tuple[str, ...],
        drain_seconds: float,
    ) -> None:
        self.base = base
        self._metrics = metrics
        self._capacity = capacity
        self._max_rank = max_rank
        self._roots = roots
        self._drain_seconds = drain_seconds
        self._readers = readers()
        self._served: dict[str, Resident] = {}
        self._loading: set[str] = set()

    def __iter__(self) -> Iterator[Resident]:
        """The adapters that take requests, by name."""
        return iter([self._served[name] for name in sorted(self._served) if not self._served[name].leaving])

    @contextmanager
    def use(self, name: str) -> Iterator[Use]:
        """Hold a model while a request runs. Raises Refusal (404) for a name that is not served."""
        if name == self.base:
            yield Use(BASE_SLOT)
            return
        resident = self._served.get(name)
        if resident is None or resident.leaving:
            raise not_found(f"The model `{name}` does not exist.", "model")
        use = Use(resident.slot.key)
        resident.running.add(use)
        self._metrics.adapter_used(name, len(resident.running))
        try:
            yield use
        finally:
            resident.running.discard(use)
            self._metrics.adapter_used(name, len(resident.running))
            if not resident.running:
                resident.idle.set()

    async def load(self, name: str, path: str, loader: Loader, call: Call) -> None:
        """Check, read and attach an adapter.

        Raises Refusal: 400 for a name in use, a full engine, or an unsound adapter; 404 for a missing path.
        """
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise bad_request(f"lora_name must be printable and at most {MAX_NAME_LENGTH} long.", "lora_name")
        if name == self.base or name in self._served or name in self._loading:
            message = f"The lora adapter '{name}' has already been loaded."
            raise Refusal(400, INVALID, message, "lora_name")
        if len(self._served) + len(self._loading) >= self._capacity:
            message = f"All {self._capacity} adapter slots (--max-loras) are taken; unload one first."
            raise bad_request(message, "lora_name")
        started = monotonic()
        self._loading.add(name)
        try:
            # Reading and checking take the longest, and no running request waits for them.
            weights = await asyncio.get_running_loop().run_in_executor(
                self._readers, lambda: loader.fit(admit(name, path, self._roots, self._max_rank))
            )
            slot: Slot = await asyncio.wrap_future(call(lambda: loader.attach(weights)))
        finally:
            self._loading.discard(name)
        self._served[name] = Resident(name, path, slot)
        self._metrics.adapter_loaded(name, slot.size, monotonic() - started)

    async def unload(self, name: str, loader: Loader, call: Call, drain_seconds: float | None = None) -> None:
        """Stop taking requests for a name, let those under way end, and delete the weights.

        What still runs after the engine's drain time, or after `drain_seconds` if these are less, is ended
        with 503. Raises Refusal (404) for an unknown name.
        """
        resident = self._served.get(name)
        if resident is None or resident.leaving:
            raise not_found(f"The lora adapter '{name}' cannot be found.", "lora_name")
        resident.leaving = True
        try:
            own = self._drain_seconds
            await self._drain(resident, own if drain_seconds is None else min(own, drain_seconds))
            await asyncio.wrap_future(call(lambda: loader.detach(resident.slot.key)))
        except BaseException:
            # Nothing was deleted, so the adapter is served as before and the caller may try again.
            resident.leaving = False
            raise
        del self._served[name]
        self._metrics.adapter_gone(name)

    async def _drain(self, resident: Resident, seconds: float) -> None:
        if not resident.running:
            return
        resident.idle.clear()
        try:
            async with asyncio.timeout(seconds):
                await resident.idle.wait()
        except TimeoutError:
            while resident.running:
                for future in [future for use in resident.running for future in use.futures]:
                    _end(future, unavailable(f"The model `{resident.name}` is being unloaded."))
                # A request whose prompt is still being read has no answer yet that could be ended.
                with suppress(TimeoutError):
                    await asyncio.wait_for(resident.idle.wait(), _END_AGAIN_SECONDS)


def _end(future: Future[Completion], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        return

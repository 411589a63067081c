"""An engine without a model, which tells the truth unless it is told to lie as real engines do."""

import os.path
from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeAlias

from .port import AnswerFailed, EngineRefused, EngineUnreachable, ModelCard

Voice: TypeAlias = Callable[[str | None, str], str]
"""What answers a prompt: the adapter in the given directory, or the base if it is None."""


class Lie(StrEnum):
    """What real engines have been seen to do."""

    LoadServesBase = "LoadServesBase"
    """load answers 200 and lists the name, but the base answers for it."""
    LoadListsNothing = "LoadListsNothing"
    """load answers 200 and nothing else happens."""
    UnloadKeepsAnswering = "UnloadKeepsAnswering"
    """unload answers 200 and the name leaves the list, but the adapter still answers."""
    UnloadFallsBackToBase = "UnloadFallsBackToBase"
    """an unknown name is answered by the base instead of 404."""
    LateList = "LateList"
    """the list of models shows a change only at the third look."""
    MissingPathAccepted = "MissingPathAccepted"
    """load answers 200 for a directory that is not there, and the base answers."""
    StaleCache = "StaleCache"
    """a name that was loaded before answers from the directory that it had first, whatever the list says."""
    EvictionCorrupts = "EvictionCorrupts"
    """an adapter that had to make room for another one answers noise until it is loaded anew."""


LATE_LOOKS = 2
"""How many looks at the list a late change stays hidden."""


def distinct_voice(path: str | None, prompt: str) -> str:
    """Answer so that the base and every directory sound different."""
    return f"base: {prompt}" if path is None else f"{os.path.basename(path)}: {prompt}"


class EngineDouble:
    """An `Engine` in memory, for tests and for trying the operator without a model.

    `voice` gives the answers, `exists` says which paths there are, `capacity` is the number of adapters.
    `lies` may be changed at any time; `down` makes every call raise EngineUnreachable; `calls` records what
    was asked, in order. `broken` are the names, the base's too, over whose answers it fails. `requests` are
    those that run, by adapter; None for an engine that does not say.
    """

    def __init__(
        self,
        endpoint: str = "double://engine",
        *,
        base: str = "generalist",
        voice: Voice = distinct_voice,
        exists: Callable[[str], bool] = os.path.isdir,
        capacity: int = 4,
        lies: Iterable[Lie] = (),
    ) -> None:
        self._endpoint = endpoint
        self._base = base
        self._voice = voice
        self._exists = exists
        self._capacity = capacity
        self._adapters: dict[str, str] = {}
        self._ghosts: dict[str, str] = {}
        self._hollow: set[str] = set()
        self._noisy: set[str] = set()
        self._first: dict[str, str] = {}
        self._shown: tuple[ModelCard, ...] | None = None
        self._looks_left = 0
        self.lies = set(lies)
        self.down = False
        self.broken: set[str] = set()
        self.requests: Counter[str] | None = Counter()
        self.calls: list[tuple[str, str]] = []

    @property
    def endpoint(self) -> str:
        """The name given at construction."""
        return self._endpoint

    def restart(self) -> None:
        """Lose every adapter, as an engine does when its process ends."""
        self._adapters.clear()
        self._ghosts.clear()
        self._hollow.clear()
        self._noisy.clear()
        self._first.clear()
        self._shown = None
        self._looks_left = 0

    async def models(self) -> tuple[ModelCard, ...]:
        """The base and the adapters. Raises EngineUnreachable."""
        self._called("models", "")
        if self._looks_left > 0 and self._shown is not None:
            self._looks_left -= 1
            return self._shown
        return self._cards()

    async def load(self, name: str, path: str) -> None:
        """Serve `path` as `name`.

        Raises EngineUnreachable; EngineRefused with 400 if served already or full, 404 if there is no path.
        """
        self._called("load", name)
        if name in self._adapters or name == self._base:
            raise EngineRefused(400, f"The lora adapter '{name}' has already been loaded.")
        found = self._exists(path)
        if not found and Lie.MissingPathAccepted not in self.lies:
            raise EngineRefused(404, f"Loading lora {name} failed: No adapter found for {path}")
        if len(self._adapters) >= self._capacity:
            raise EngineRefused(400, f"All {self._capacity} adapter slots are taken; unload one first.")
        if Lie.LoadListsNothing in self.lies:
            return
        self._before_change()
        if Lie.EvictionCorrupts in self.lies:
            self._noisy.update(self._adapters)
        self._adapters[name] = path
        self._first.setdefault(name, path)
        self._ghosts.pop(name, None)
        self._hollow.discard(name)
        self._noisy.discard(name)
        if not found or Lie.LoadServesBase in self.lies:
            self._hollow.add(name)

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        """Forget `name` at once; an unknown one is success. Raises EngineUnreachable."""
        self._called("unload", name)
        if name not in self._adapters:
            return
        self._before_change()
        path = self._adapters.pop(name)
        if Lie.UnloadKeepsAnswering in self.lies:
            self._ghosts[name] = path
        else:
            self._hollow.discard(name)

    async def busy(self) -> frozenset[str] | None:
        """The adapters that `requests` counts; None if it is None. Raises EngineUnreachable."""
        self._called("busy", "")
        if self.requests is None:
            return None
        return frozenset(name for name, count in self.requests.items() if count > 0)

    async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
        """The voice's answer, cut to `max_tokens` words.

        Raises EngineUnreachable, AnswerFailed; EngineRefused with 404 for an unknown model.
        """
        self._called("chat", model)
        if model in self.broken:
            raise AnswerFailed(f"{self._endpoint} failed while it answered")
        path = self._adapters.get(model, self._ghosts.get(model))
        known = path is not None or model == self._base
        if not known and Lie.UnloadFallsBackToBase not in self.lies:
            raise EngineRefused(404, f"The model `{model}` does not exist.")
        if path is not None and Lie.StaleCache in self.lies:
            path = self._first[model]
        answer = self._voice(None if model in self._hollow else path, prompt)
        words = answer.split(" ")[:max_tokens]
        return " ".join(word[::-1] for word in words) if model in self._noisy else " ".join(words)

    async def close(self) -> None:
        """Nothing to release."""

    def _called(self, what: str, name: str) -> None:
        self.calls.append((what, name))
        if self.down:
            raise EngineUnreachable(f"{self._endpoint} is down")

    def _before_change(self) -> None:
        if Lie.LateList in self.lies:
            self._shown = self._cards()
            self._looks_left = LATE_LOOKS

    def _cards(self) -> tuple[ModelCard, ...]:
        adapters = (ModelCard(name, path, self._base) for name, path in sorted(self._adapters.items()))
        return (ModelCard(self._base, self._base, None), *adapters)

"""An engine without a model whose adapters lie in a file, so that it outlives a killed operator.

It can be used from several processes, and a test can take it down, restart it, or have it answer wrongly.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from modelecology.engines.double import distinct_voice
from modelecology.engines.port import EngineRefused, EngineUnreachable, ModelCard

_BASE = "generalist"


class _State(BaseModel):
    adapters: dict[str, str] = {}
    down: bool = False
    lies: bool = False  # every adapter answers as the base does


def _is_directory(path: str) -> bool:
    return Path(path).is_dir()


class PretendEngine:
    """An Engine in a directory."""

    def __init__(self, directory: Path, endpoint: str = "pretend://engine") -> None:
        self._directory = directory
        self._endpoint = endpoint
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        """The address given at construction."""
        return self._endpoint

    async def models(self) -> tuple[ModelCard, ...]:
        """List the base and the adapters. Raises EngineUnreachable."""
        state = self._asked()
        adapters = (ModelCard(name, path, _BASE) for name, path in sorted(state.adapters.items()))
        return (ModelCard(_BASE, _BASE, None), *adapters)

    async def load(self, name: str, path: str) -> None:
        """Serve an adapter. Raises EngineUnreachable, EngineRefused."""
        self._asked()
        with self._changing() as state:
            if name in state.adapters:
                raise EngineRefused(400, f"The lora adapter '{name}' has already been loaded.")
            if not _is_directory(path):
                raise EngineRefused(404, f"Loading lora {name} failed: No adapter found for {path}")
            state.adapters[name] = path
        self._note(f"load {name}")

    async def unload(self, name: str, drain_seconds: float = 0.0) -> None:
        """Forget an adapter; an unknown one is success. Raises EngineUnreachable."""
        self._asked()
        with self._changing() as state:
            known = state.adapters.pop(name, None)
        if known is not None:
            self._note(f"unload {name}")

    async def busy(self) -> frozenset[str] | None:
        """Nothing: its answers take no time. Raises EngineUnreachable."""
        self._asked()
        return frozenset()

    async def chat(self, model: str, prompt: str, max_tokens: int) -> str:
        """Answer with the adapter's voice. Raises EngineUnreachable, EngineRefused for an unknown model."""
        state = self._asked()
        path = state.adapters.get(model)
        if path is None and model != _BASE:
            raise EngineRefused(404, f"The model `{model}` does not exist.")
        answer = distinct_voice(None if state.lies else path, prompt)
        return " ".join(answer.split(" ")[:max_tokens])

    async def close(self) -> None:
        """Nothing to release."""

    # What a test does with it.

    def adapters(self) -> list[str]:
        """Name what is served now."""
        return sorted(self._read().adapters)

    def events(self) -> list[str]:
        """List the loads and unloads that changed something, in order."""
        log = self._directory / "events.log"
        return log.read_text().splitlines() if log.exists() else []

    def go_down(self) -> None:
        """Answer nobody until `come_back`."""
        with self._changing() as state:
            state.down = True

    def come_back(self) -> None:
        """Answer again."""
        with self._changing() as state:
            state.down = False

    def restart(self) -> None:
        """Lose every adapter, as an engine does when its process ends."""
        with self._changing() as state:
            state.adapters.clear()

    def lie(self) -> None:
        """Answer as the base does, whatever is asked."""
        with self._changing() as state:
            state.lies = True

    def _asked(self) -> _State:
        state = self._read()
        if state.down:
            raise EngineUnreachable(f"{self._endpoint} is down")
        return state

    def _read(self) -> _State:
        try:
            return _State.model_validate_json((self._directory / "engine.json").read_bytes())
        except FileNotFoundError:
            return _State()

    @contextmanager
    def _changing(self) -> Iterator[_State]:
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            state = self._read()
            yield state
            draft = self._directory / f"draft-{os.getpid()}"
            draft.write_text(json.dumps(state.model_dump()))
            draft.replace(self._directory / "engine.json")
        finally:
            os.close(descriptor)

    def _note(self, event: str) -> None:
        with (self._directory / "events.log").open("a") as log:
            log.write(event + "\n")

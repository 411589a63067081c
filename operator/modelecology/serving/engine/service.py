"""The engine's acts: answer, load, unload, list; between the HTTP routes and the model's thread."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import torch

from .batch import Completion, Prompt
from .generalist import BaseUnusable, Generalist
from .metrics import UNKNOWN, EngineMetrics
from .options import EngineOptions
from .refusal import Refusal, bad_request, unavailable
from .residents import Residents, Use
from .wire import (
    ChatAnswer,
    ChatOrder,
    CompletionOrder,
    LoadOrder,
    ModelLine,
    ModelList,
    TextAnswer,
    UnloadOrder,
    chat_answer,
    text_answer,
)
from .worker import Worker

STOP_SECONDS: Final = 10.0
"""How long the model's thread may take to end."""

log = logging.getLogger(__name__)


class EngineService:
    """One engine. `failure` says why the base cannot be served, once that is known."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self.metrics = EngineMetrics()
        self._worker = Worker(self.metrics, max_rows=options.max_rows, max_waiting=options.max_waiting)
        self._residents = Residents(
            options.served_name,
            self.metrics,
            capacity=options.max_loras,
            max_rank=options.max_rank,
            roots=options.roots,
            drain_seconds=options.drain_seconds,
        )
        self._generalist: Generalist | None = None
        self._created = int(time.time())
        self.failure: str | None = None
        self.metrics.watch("modelecology_engine_running", "Prompts in the batch.", self._running)
        self.metrics.watch("modelecology_engine_waiting", "Prompts that wait.", self._waiting)

    @property
    def ready(self) -> bool:
        """Whether the base is loaded and the model's thread is alive."""
        return self._generalist is not None and self._worker.alive

    async def run_up(self, on_failure: Callable[[], None]) -> None:
        """Start the thread and load the base in it; call `on_failure` if it cannot be served."""
        self._worker.start()
        started = time.monotonic()
        try:
            generalist = await asyncio.wrap_future(self._worker.call(self._load_base))
        except BaseUnusable as error:
            self.failure = str(error)
            on_failure()
            return
        except Refusal:
            return  # told to stop meanwhile
        self._generalist = generalist
        self.metrics.base_loaded(generalist.size)
        self._worker.adopt(generalist)
        log.info("serving %s after %.1f s", self._options.served_name, time.monotonic() - started)

    def wind_down(self) -> None:
        """End the model's thread; what still runs is answered 503."""
        self._worker.stop(STOP_SECONDS)

    def models(self) -> ModelList:
        """The base and the adapters that take requests."""
        base = self._options.served_name
        length = self._loaded().max_length
        lines = [
            ModelLine(id=base, created=self._created, root=self._options.model, max_model_len=length),
            *(
                ModelLine(id=resident.name, created=self._created, root=resident.path, parent=base)
                for resident in self._residents
            ),
        ]
        return ModelList(data=lines)

    async def load(self, order: LoadOrder) -> str:
        """Load an adapter and say so. Raises Refusal."""
        await self._residents.load(order.lora_name, order.lora_path, self._loaded(), self._worker.call)
        log.info("loaded %s from %s", order.lora_name, order.lora_path)
        return f"Success: LoRA adapter '{order.lora_name}' added successfully."

    async def unload(self, order: UnloadOrder) -> str:
        """Drain and delete an adapter and say so. Raises Refusal."""
        await self._residents.unload(order.lora_name, self._loaded(), self._worker.call)
        log.info("unloaded %s", order.lora_name)
        return f"Success: LoRA adapter '{order.lora_name}' removed successfully."

    async def chat(self, order: ChatOrder) -> ChatAnswer:
        """Answer a conversation. Raises Refusal."""
        generalist = self._loaded()
        messages = [message.plain() for message in order.messages]
        limit = order.max_completion_tokens or order.max_tokens

        def encode() -> list[list[int]]:
            return [generalist.encode_chat(messages)]

        completions = await self._answer(order, encode, limit)
        return chat_answer(order.model, completions[0])

    async def complete(self, order: CompletionOrder) -> TextAnswer:
        """Continue one or several texts. Raises Refusal."""
        generalist = self._loaded()
        prompts = _checked(order.prompts, "prompt")

        def encode() -> list[list[int]]:
            return [generalist.encode(prompt) for prompt in prompts]

        return text_answer(order.model, await self._answer(order, encode, order.max_tokens))

    async def _answer(
        self,
        order: ChatOrder | CompletionOrder,
        encode: Callable[[], list[list[int]]],
        limit: int | None,
    ) -> list[Completion]:
        started = time.monotonic()
        label = UNKNOWN
        try:
            if order.stream:
                raise bad_request("stream: true is not served by this engine; send stream: false", "stream")
            stops = _checked(order.stops, "stop")
            with self._residents.use(order.model) as use:
                label = order.model
                encoded = await asyncio.to_thread(encode)
                sampling = order.sampling()
                prompts = [
                    Prompt(tuple(tokens), use.slot, self._room(tokens, limit), sampling, stops)
                    for tokens in encoded
                ]
                completions = await self._generate(use, prompts)
        except Refusal as refusal:
            self.metrics.refused(label, refusal.status)
            raise
        read = sum(completion.prompt_tokens for completion in completions)
        written = sum(completion.completion_tokens for completion in completions)
        self.metrics.answered(label, time.monotonic() - started, read, written)
        return completions

    async def _generate(self, use: Use, prompts: Sequence[Prompt]) -> list[Completion]:
        try:
            for prompt in prompts:
                use.futures.append(self._worker.submit(prompt))
            return await asyncio.gather(*(asyncio.wrap_future(future) for future in use.futures))
        finally:
            # Whoever asked may have gone; what is not done by now is not worth a token more.
            for future in use.futures:
                future.cancel()

    def _room(self, tokens: Sequence[int], limit: int | None) -> int:
        longest = self._loaded().max_length
        room = longest - len(tokens)
        if not tokens:
            raise bad_request("The prompt is empty.", "prompt")
        if room < 1 or (limit is not None and limit > room):
            raise bad_request(
                f"This model's maximum context length is {longest} tokens. However, you requested "
                f"{limit or 1} output tokens and your prompt contains {len(tokens)} tokens.",
                "max_tokens",
            )
        return limit or room

    def _load_base(self) -> Generalist:
        if self._options.threads is not None:
            torch.set_num_threads(self._options.threads)
        options = self._options
        return Generalist(
            options.model,
            options.dtype,
            options.max_length,
            max_loras=options.max_loras,
            max_rank=options.max_rank,
        )

    def _loaded(self) -> Generalist:
        if self._generalist is None:
            raise unavailable("The base model is being loaded.")
        return self._generalist

    def _running(self) -> float:
        return float(self._worker.running)

    def _waiting(self) -> float:
        return float(self._worker.waiting)


def _checked(read: Callable[[], tuple[str, ...]], field: str) -> tuple[str, ...]:
    try:
        return read()
    except ValueError as error:
        raise bad_request(str(error), field) from error

"""The engine's acts: answer, load, unload, list; between the HTTP routes and the model's thread."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Final

import torch

from .batch import Completion, Prompt
from .embedding import EmbeddingAnswer, EmbeddingOrder, embedding_answer
from .generalist import BaseUnusable, Generalist
from .metrics import UNKNOWN, EngineMetrics
from .options import EngineOptions
from .refusal import Refusal, bad_request, not_found, unavailable
from .residents import Residents
from .streaming import Chunks, failure
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

    async def unload(self, order: UnloadOrder, drain_seconds: float | None = None) -> str:
        """Drain and delete an adapter and say so. Raises Refusal."""
        await self._residents.unload(order.lora_name, self._loaded(), self._worker.call, drain_seconds)
        log.info("unloaded %s", order.lora_name)
        return f"Success: LoRA adapter '{order.lora_name}' removed successfully."

    async def chat(self, order: ChatOrder) -> ChatAnswer:
        """Answer a conversation. Raises Refusal."""
        return chat_answer(order.model, (await self._answer(order))[0])

    async def complete(self, order: CompletionOrder) -> TextAnswer:
        """Continue one or several texts. Raises Refusal."""
        return text_answer(order.model, await self._answer(order))

    async def stream(self, order: ChatOrder | CompletionOrder) -> AsyncGenerator[bytes]:
        """Answer as it is written, in server-sent events.

        Raises Refusal before the first event; what goes wrong later is told by the last event.
        """
        chunks, pieces, begun = Chunks(order), _Pieces(), False
        # A task of its own: a client that stops reading holds no adapter.
        answering = asyncio.create_task(self._answer(order, pieces))
        answering.add_done_callback(pieces.end)
        try:
            while (said := await pieces.get()) is not None:
                event = chunks.text(*said)
                yield event if begun else chunks.begin() + event
                begun = True
            completions = await answering
        except Refusal as refusal:
            if not begun:
                raise
            yield failure(refusal)
            return
        finally:
            answering.cancel()
        yield (b"" if begun else chunks.begin()) + chunks.end(completions)

    async def embed(self, order: EmbeddingOrder) -> EmbeddingAnswer:
        """Give directions of texts by the base. Raises Refusal."""
        started, generalist = time.monotonic(), self._loaded()
        try:
            if order.model != self._options.served_name:
                raise not_found(f"The model `{order.model}` gives no embeddings.", "model")
            texts = _checked(order.texts, "input")
            encoded = await asyncio.to_thread(lambda: [generalist.encode(text) for text in texts])
            if not all(0 < len(tokens) <= generalist.max_length for tokens in encoded):
                raise bad_request(f"A text has 1 to {generalist.max_length} tokens.", "input")
            # One text between two steps of the batch, so that no answer waits for all of them.
            vectors: list[list[float]] = [
                await asyncio.wrap_future(self._worker.call(partial(generalist.embed, tokens)))
                for tokens in encoded
            ]
        except Refusal as refusal:
            known = order.model == self._options.served_name
            self.metrics.refused(order.model if known else UNKNOWN, refusal.status)
            raise
        count = sum(map(len, encoded))
        self.metrics.answered(order.model, time.monotonic() - started, count, 0)
        return embedding_answer(order.model, vectors, count)

    async def _answer(
        self, order: ChatOrder | CompletionOrder, pieces: "_Pieces | None" = None
    ) -> list[Completion]:
        started, label = time.monotonic(), UNKNOWN
        self._loaded()
        try:
            if order.stream_options is not None and not order.stream:
                raise bad_request("stream_options belongs to stream: true; leave it out", "stream_options")
            with self._residents.use(order.model) as use:
                label = order.model
                try:
                    for index, prompt in enumerate(await self._prompts(order, use.slot)):
                        hear = partial(pieces.put, index) if pieces is not None else None
                        use.futures.append(self._worker.submit(prompt, hear))
                    completions = await asyncio.gather(*map(asyncio.wrap_future, use.futures))
                finally:
                    # Whoever asked may have gone; what is not done by now is not worth a token more.
                    for future in use.futures:
                        future.cancel()
        except Refusal as refusal:
            self.metrics.refused(label, refusal.status)
            raise
        read = sum(completion.prompt_tokens for completion in completions)
        written = sum(completion.completion_tokens for completion in completions)
        self.metrics.answered(label, time.monotonic() - started, read, written)
        return completions

    async def _prompts(self, order: ChatOrder | CompletionOrder, slot: str) -> list[Prompt]:
        generalist, sampling = self._loaded(), order.sampling()
        stops = _checked(order.stops, "stop")
        if isinstance(order, ChatOrder):
            messages = [message.plain() for message in order.messages]
            limit = order.max_completion_tokens or order.max_tokens
            encoded = [await asyncio.to_thread(generalist.encode_chat, messages)]
        else:
            texts, limit = _checked(order.prompts, "prompt"), order.max_tokens
            encoded = await asyncio.to_thread(lambda: [generalist.encode(text) for text in texts])
        return [Prompt(tuple(tokens), slot, self._room(tokens, limit), sampling, stops) for tokens in encoded]

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
        options = self._options
        # Said in any case: it is the model's thread's own from now on, whatever others say of theirs.
        torch.set_num_threads(options.threads or torch.get_num_threads())
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


class _Pieces:
    """Pieces of answers, each with the index of its prompt; the model's thread puts them in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()

    def put(self, index: int, piece: str) -> None:
        """Add one; after the loop's end there is nobody to hear it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, piece))

    def end(self, _answered: object) -> None:
        """Say that no more come."""
        self._queue.put_nowait(None)

    async def get(self) -> tuple[int, str] | None:
        """Give the next one, or None after the last."""
        return await self._queue.get()


def _checked(read: Callable[[], tuple[str, ...]], field: str) -> tuple[str, ...]:
    try:
        return read()
    except ValueError as error:
        raise bad_request(str(error), field) from error

"""Answers that are sent as they are written: OpenAI's chunks, as server-sent events."""

import json
import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, Field

from .batch import Completion, Finish
from .refusal import Refusal
from .wire import ChatOrder, CompletionOrder, Usage, error_body, usage

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"


def _absent() -> Any:
    """A field that is left out where there is nothing in it."""
    return Field(default=None, exclude_if=lambda value: value is None)


class _Delta(BaseModel):
    role: Literal["assistant"] | None = _absent()
    content: str | None = _absent()


class _ChatChoice(BaseModel):
    index: int
    delta: _Delta
    logprobs: None = None
    finish_reason: Finish | None = None


class _TextChoice(BaseModel):
    index: int
    text: str
    logprobs: None = None
    finish_reason: Finish | None = None


class _Chunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk", "text_completion"]
    created: int
    model: str
    choices: list[_ChatChoice] | list[_TextChoice]
    usage: Usage | None = _absent()


class Chunks:
    """Dresses what is written of one request; all of its chunks bear one id."""

    def __init__(self, order: ChatOrder | CompletionOrder) -> None:
        self._order = order
        self._chat = isinstance(order, ChatOrder)
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{secrets.token_hex(16)}"
        self._created = int(time.time())

    def begin(self) -> bytes:
        """Give what comes before any text: a conversation's next turn is the assistant's."""
        return self._choice(0, _Delta(role="assistant", content=""), None) if self._chat else b""

    def text(self, index: int, text: str) -> bytes:
        """Give a piece of the answer to the prompt of this index."""
        return self._choice(index, _Delta(content=text), None)

    def end(self, completions: list[Completion]) -> bytes:
        """Give what comes after all text: why each answer ended, the tokens if asked for, and the end."""
        ends = (self._choice(index, _Delta(), each.finish) for index, each in enumerate(completions))
        wanted = self._order.stream_options
        tokens = wanted is not None and wanted.include_usage
        return b"".join([*ends, self._event([], usage(completions)) if tokens else b"", DONE])

    def _choice(self, index: int, delta: _Delta, finish: Finish | None) -> bytes:
        if self._chat:
            return self._event([_ChatChoice(index=index, delta=delta, finish_reason=finish)])
        return self._event([_TextChoice(index=index, text=delta.content or "", finish_reason=finish)])

    def _event(self, choices: list[_ChatChoice] | list[_TextChoice], tokens: Usage | None = None) -> bytes:
        chunk = _Chunk(
            id=self._id,
            object="chat.completion.chunk" if self._chat else "text_completion",
            created=self._created,
            model=self._order.model,
            choices=choices,
            usage=tokens,
        )
        return b"data: " + chunk.model_dump_json().encode() + b"\n\n"


def failure(refusal: Refusal) -> bytes:
    """Give the event by which a stream that began ends with an error."""
    body = error_body(refusal.message, refusal.kind, refusal.param, int(refusal.status))
    return b"data: " + json.dumps(body).encode() + b"\n\n" + DONE

"""What an engine answers: who it says it is, how many tokens it counts, and the words if they are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

_EVENT_END: Final = re.compile(rb"\r?\n\r?\n")
_MOST_EVENT: Final = 1 << 20
_DONE: Final = b"[DONE]"


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Usage(_Edge):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Words(_Edge):
    content: str | None = None


class _Choice(_Edge):
    message: _Words | None = None
    delta: _Words | None = None
    text: str | None = None

    def words(self) -> str:
        turn = self.message or self.delta
        return (self.text if turn is None else turn.content) or ""


class _Named(_Edge):
    model: str
    usage: _Usage | None = None


class _Spoken(_Named):
    choices: tuple[_Choice, ...] = ()


class _Event(_Edge):
    model: str | None = None
    usage: _Usage | None = None
    choices: tuple[_Choice, ...] = ()
    error: object = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer. `text` is None unless it was asked for."""

    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    text: str | None = None


def read_answer(raw: bytes, *, with_text: bool) -> Answer | None:
    """Read an answer that came in one piece; None if it is none of OpenAI's form."""
    try:
        if with_text:
            spoken = _Spoken.model_validate_json(raw)
            return _answer(spoken, spoken.choices[0].words() if spoken.choices else "")
        return _answer(_Named.model_validate_json(raw), None)
    except ValidationError:
        return None


def _answer(named: _Named, text: str | None) -> Answer:
    usage = named.usage or _Usage()
    return Answer(named.model, usage.prompt_tokens, usage.completion_tokens, text)


class StreamScan:
    """Looks at server-sent events as they pass: at the first always, at others only for words and usage."""

    def __init__(self, *, with_text: bool) -> None:
        self.begun = False
        """Whether the first event has come; `model` is what it says, unless it is an error."""
        self.failed = False
        """Whether the engine sent an error as an event."""
        self.model: str | None = None
        self._usage = _Usage()
        self._words: list[str] | None = [] if with_text else None
        self._rest = b""
        self._lost = False

    def feed(self, chunk: bytes) -> None:
        """Look at some bytes; events may be cut anywhere."""
        if self._lost:
            return
        *events, self._rest = _EVENT_END.split(self._rest + chunk)
        for event in events:
            self._look(event)
        # What never ends is no event: it is passed on, but no more looked at.
        self._lost = len(self._rest) > _MOST_EVENT

    def answer(self) -> Answer:
        """What is known by now."""
        text = None if self._words is None else "".join(self._words)
        return Answer(self.model or "", self._usage.prompt_tokens, self._usage.completion_tokens, text)

    @property
    def lost(self) -> bool:
        """Whether an event was too long to be looked at."""
        return self._lost

    def _look(self, event: bytes) -> None:
        if self.begun and self._words is None and b'"usage"' not in event and b'"error"' not in event:
            return
        data = b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if not data or data == _DONE:
            return
        try:
            read = _Event.model_validate_json(data)
        except ValidationError:
            read = _Event()
        if not self.begun:
            self.begun, self.model = True, read.model
        self.failed = self.failed or read.error is not None
        self._usage = read.usage or self._usage
        if self._words is not None and read.choices:
            self._words.append(read.choices[0].words())

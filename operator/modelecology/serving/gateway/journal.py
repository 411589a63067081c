"""From what was seen to what is kept: redacted, hashed and written on a thread, never on a user's time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from modelecology.api.live_records import Answered, Arm, Exchange, Feedback, LiveRecord, Usage

from .counts import Counts
from .metrics import GatewayMetrics
from .orders import written
from .recorder import Recorder

_LOG = logging.getLogger(__name__)

_MOST_WAITING: Final = 4096
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_ERROR: Final = 256
_BATCH: Final = 256
_IDLE_SECONDS: Final = 5.0
_GATHER_SECONDS: Final = 0.05
# What the API itself says in a message; all else are a user's words.
_NAMES: Final = frozenset(
    {"content", "image_url", "name", "role", "text", "tool_call_id", "tool_calls", "type", "url"}
)
_WORDS: Final = frozenset(
    {"assistant", "developer", "function", "image_url", "system", "text", "tool", "user"}
)

Redact: TypeAlias = Callable[[str], str]


class Keep(StrEnum):
    """What is kept of texts."""

    HASHES = "hashes"
    ANSWERS = "answers"
    PROMPTS = "prompts"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as it came; `text` is None where there is an `error`."""

    served: str
    text: str | None
    error: str | None
    seconds: float
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it was answered."""

    time: float
    request_id: str
    population: str
    task: str
    table: str
    arm: Arm
    prompt: str
    answer: Said
    shadow: Said | None = None
    sampled: bool = True
    asker: str | None = None
    prompt_is_json: bool = False  # it is messages, or several texts

    @property
    def size(self) -> int:
        """Bytes of memory that its texts take."""
        return _size(self.prompt, self.answer.text, None if self.shadow is None else self.shadow.text)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a user says of an answer."""

    time: float
    request_id: str
    score: float | None
    label: str | None

    @property
    def size(self) -> int:
        """Bytes of memory that its texts take."""
        return _size(self.label)


Draft: TypeAlias = Seen | Judged


def as_is(text: str) -> str:
    """Redact nothing."""
    return text


class Journal:
    """A bounded queue of drafts before a recorder, and counts. Without a recorder nothing is kept.

    `now` is seconds since 1970; `most_bytes` are of the texts of all that is not written yet.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        metrics: GatewayMetrics,
        now: Callable[[], float],
        *,
        keep: Keep = Keep.ANSWERS,
        redact: Redact = as_is,
        most_waiting: int = _MOST_WAITING,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._keep = keep
        self._redact = redact
        self._most = most_waiting
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: deque[Draft] = deque()
        self._come = asyncio.Event()
        self._ending = False
        self.counts = Counts(now)

    @property
    def kept(self) -> bool:
        """Whether anything is."""
        return self._recorder is not None

    def add(self, draft: Draft) -> bool:
        """Take a draft to be written soon; False if too many wait, or too much."""
        if len(self._waiting) >= self._most or self._bytes + draft.size > self._most_bytes:
            self._metrics.recorded("dropped")
            return False
        self._waiting.append(draft)
        self._bytes += draft.size
        self._come.set()
        return True

    async def run(self) -> None:
        """Write what comes until `end` is called, and then what is left."""
        if self._recorder is None:
            return
        while not self._ending:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._come.wait()
                # A thread for each record would cost more than the record.
                await asyncio.sleep(_GATHER_SECONDS)
            except TimeoutError:
                pass
            self._come.clear()
            await self._flush(self._recorder)
        await self._flush(self._recorder, last=True)
        await asyncio.to_thread(self._close, self._recorder)

    def end(self) -> None:
        """Let `run` return soon."""
        self._ending = True
        self._come.set()

    async def _flush(self, recorder: Recorder, *, last: bool = False) -> None:
        while True:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            counted = self.counts.take() if self.counts.due or last else None
            await asyncio.to_thread(self._write, recorder, batch, counted)
            self._bytes -= sum(draft.size for draft in batch)
            if not self._waiting:
                return

    def _write(self, recorder: Recorder, batch: Sequence[Draft], counted: Usage | None) -> None:
        records: list[LiveRecord] = [r for draft in batch if (r := self._finish(draft)) is not None]
        records += [counted] if counted is not None else []
        try:
            recorder.write(records)
        except OSError as error:
            self._metrics.recorded("failed", len(records))
            _LOG.warning("%d records are lost: %s", len(records), error)
        else:
            self._metrics.recorded("written", len(records))

    def _close(self, recorder: Recorder) -> None:
        try:
            recorder.close()
        except OSError as error:
            _LOG.warning("the last records may be lost: %s", error)

    def _finish(self, draft: Draft) -> Exchange | Feedback | None:
        """Make a record; None if it cannot be redacted, since then it must not be kept."""
        try:
            return self._exchange(draft) if isinstance(draft, Seen) else self._feedback(draft)
        except Exception as error:  # whatever the hook raises
            self._metrics.recorded("not_redacted")
            # Not its message: that may hold the text.
            _LOG.warning("a record is dropped, its redaction failed: %s", type(error).__name__)
            return None

    def _exchange(self, seen: Seen) -> Exchange:
        prompt = self._clean_json(seen.prompt) if seen.prompt_is_json else self._clean(seen.prompt)
        return Exchange(
            time=seen.time,
            request_id=seen.request_id,
            population=seen.population,
            task=seen.task,
            table=seen.table,
            arm=seen.arm,
            sampled=seen.sampled,
            asker=seen.asker,
            prompt=prompt if self._keep is Keep.PROMPTS else None,
            prompt_sha256=_sha256(prompt),
            answer=self._answered(seen.answer),
            shadow=None if seen.shadow is None else self._answered(seen.shadow),
        )

    def _answered(self, said: Said) -> Answered:
        text = None if said.text is None else self._clean(said.text)
        return Answered(
            served=said.served,
            text=None if self._keep is Keep.HASHES else text,
            sha256=None if text is None else _sha256(text),
            error=None if said.error is None else said.error[:_MOST_ERROR],
            seconds=max(0.0, said.seconds),
            tokens=said.tokens,
        )

    def _feedback(self, judged: Judged) -> Feedback:
        label = None if judged.label is None else self._clean(judged.label)
        return Feedback(
            time=judged.time,
            request_id=judged.request_id,
            score=judged.score,
            label=None if self._keep is Keep.HASHES else label,
            label_sha256=None if label is None else _sha256(label),
        )

    def _clean_json(self, text: str) -> str:
        """Clean each text of a JSON by itself: written down, it has other characters than were sent."""
        return self._clean(text) if self._redact is as_is else written(self._cleaned(json.loads(text)))

    def _cleaned(self, part: object) -> object:
        if isinstance(part, str):
            return self._clean(part)
        if isinstance(part, list):
            return [self._cleaned(each) for each in part]
        if isinstance(part, dict):
            return dict(self._field(key, value) for key, value in part.items())
        if part is None or isinstance(part, bool):
            return part
        told = str(part)  # a number, which may be somebody's
        cleaned = self._clean(told)
        return part if cleaned == told else cleaned

    def _field(self, name: str, value: object) -> tuple[str, object]:
        kept = name in ("role", "type") and value in _WORDS
        return name if name in _NAMES else self._clean(name), value if kept else self._cleaned(value)

    def _clean(self, text: str) -> str:
        # Half a surrogate pair is allowed in JSON's text and in no file's.
        return self._redact(text.encode("utf-8", "replace").decode())


def _size(*texts: str | None) -> int:
    # A character takes one to four bytes, by the widest of its text.
    return sum(sys.getsizeof(text) for text in texts if text is not None)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

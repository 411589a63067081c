"""Who answers a suite's questions: a model loaded here, or one that is served elsewhere."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ValidationError

from modelecology.workloads.errors import EngineRefused, EngineUnreachable, IntentInvalid
from modelecology.workloads.model import LoadedBase, answer_tokens, prompt_tokens

FORBIDDEN = frozenset({401, 403})
MEND_TOKEN = (
    "it wants another token: mend serving.tokenSecretRef, or without KubeRay the variable "
    "MODELECOLOGY_ENGINE_TOKEN of Ray's nodes, then retry."
)
NOT_SERVED = 404
BUSY = (408, 429)
Report = Callable[[int], None]
"""Told how many more questions are answered."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a model finds a text: sum of log-probabilities (natural), and number of tokens."""

    total: float
    tokens: int


class Answerer(Protocol):
    """Answers in the order of the questions; `tokens` counts what was read and written so far.

    `seconds` are those that each of the last answers took, if they were asked one by one; else it is empty.
    """

    tokens: int
    seconds: tuple[float, ...]

    def answers(self, prompts: Sequence[str], max_new_tokens: int, report: Report) -> tuple[str, ...]:
        """Answer greedily."""
        ...

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Report) -> tuple[Likelihood, ...]:
        """Weigh answers, given as (prompt, answer)."""
        ...


class LocalAnswerer:
    """A model in this process. Questions of like length share a batch, so little is padded."""

    def __init__(self, base: LoadedBase, model: Any, batch_size: int = 32) -> None:
        self._base = base
        self._model = model
        self._batch_size = batch_size
        self.tokens = 0
        self.seconds: tuple[float, ...] = ()

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
        return [order[at : at + self._batch_size] for at in range(0, len(order), self._batch_size)]

    def answers(self, prompts: Sequence[str], max_new_tokens: int, report: Report) -> tuple[str, ...]:
        """Answer greedily."""
        questions = [prompt_tokens(self._base, prompt) for prompt in prompts]
        found: dict[int, str] = {}
        for batch in self._batches([len(question) for question in questions]):
            made = self._generate([questions[index] for index in batch], max_new_tokens)
            for index, tokens in zip(batch, made, strict=True):
                found[index] = self._base.tokenizer.decode(tokens, skip_special_tokens=True).strip()
                self.tokens += len(questions[index]) + len(tokens)
            report(len(batch))
        return tuple(found[index] for index in range(len(prompts)))

    @torch.inference_mode()
    def _generate(self, questions: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        width = max(len(question) for question in questions)
        pads = [width - len(question) for question in questions]
        tokens = [[self._base.pad] * pad + list(q) for pad, q in zip(pads, questions, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in pads]
        made = self._model.generate(
            input_ids=torch.tensor(tokens, device=self._base.device),
            attention_mask=torch.tensor(mask, device=self._base.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=self._base.end,
            pad_token_id=self._base.pad,
        )[:, width:].tolist()
        return [row[: row.index(self._base.end)] if self._base.end in row else row for row in made]

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Report) -> tuple[Likelihood, ...]:
        """Weigh answers, given as (prompt, answer); the end of the answer is not weighed."""
        read = [
            (prompt_tokens(self._base, prompt), answer_tokens(self._base, text)) for prompt, text in pairs
        ]
        found: dict[int, Likelihood] = {}
        for batch in self._batches([len(prompt) + len(text) for prompt, text in read]):
            for index, weight in zip(batch, self._weigh([read[index] for index in batch]), strict=True):
                found[index] = weight
                self.tokens += len(read[index][0]) + len(read[index][1])
            report(len(batch))
        return tuple(found[index] for index in range(len(pairs)))

    @torch.inference_mode()
    def _weigh(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Likelihood]:
        width = max(len(prompt) + len(text) for prompt, text in pairs)
        rows = [
            prompt + text + [self._base.pad] * (width - len(prompt) - len(text)) for prompt, text in pairs
        ]
        mask = [
            [1] * (len(prompt) + len(text)) + [0] * (width - len(prompt) - len(text))
            for prompt, text in pairs
        ]
        tokens = torch.tensor(rows, device=self._base.device)
        logits = self._model(
            input_ids=tokens, attention_mask=torch.tensor(mask, device=self._base.device)
        ).logits
        weights: list[Likelihood] = []
        for row, (prompt, text) in enumerate(pairs):
            first, last = len(prompt) - 1, len(prompt) + len(text) - 1
            chances = torch.log_softmax(logits[row, first:last].float(), dim=-1)
            picked = chances.gather(1, tokens[row, first + 1 : last + 1].unsqueeze(1))
            weights.append(Likelihood(float(picked.sum()), len(text)))
        return weights


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    total_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage = _Usage()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the engine's token must not go elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Take the answer as it is."""


_OPENER = urllib.request.build_opener(_NoRedirect)


class ServedAnswerer:
    """A model behind an OpenAI-compatible endpoint, asked a few questions at a time.

    `token` is the bearer token that the endpoint asks for; it is in no message.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        token: str | None = None,
        *,
        concurrency: int = 8,
        tries: int = 4,
        timeout: float = 120.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/chat/completions"
        self._endpoint = endpoint
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._concurrency = concurrency
        self._tries = tries
        self._timeout = timeout
        self._pause = pause
        self._lock = threading.Lock()
        self.tokens = 0
        self.seconds: tuple[float, ...] = ()

    def answers(self, prompts: Sequence[str], max_new_tokens: int, report: Report) -> tuple[str, ...]:
        """Answer greedily; raises EngineRefused, and EngineUnreachable also for a model not served."""

        def ask(prompt: str) -> tuple[str, float]:
            began = time.monotonic()
            said = self._ask(prompt, max_new_tokens)
            took = time.monotonic() - began
            with self._lock:
                report(1)
            return said, took

        with ThreadPoolExecutor(self._concurrency) as pool:
            answered = tuple(pool.map(ask, prompts))
        self.seconds = tuple(round(took, 4) for _, took in answered)
        return tuple(said for said, _ in answered)

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Report) -> tuple[Likelihood, ...]:
        """Refuse: a chat endpoint gives no likelihoods, and a guess would not be comparable."""
        raise IntentInvalid(
            "A served endpoint gives no likelihoods; use a scorer of the text: "
            "Exact, Contains, Regex or EntryPoint."
        )

    def _ask(self, prompt: str, max_new_tokens: int) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": max_new_tokens,
        }
        content = self._posted(json.dumps(body).encode())
        try:
            completion = _Completion.model_validate_json(content)
            said = completion.choices[0].message.content or ""
        except (ValidationError, IndexError) as error:
            raise EngineUnreachable(f"The engine at {self._endpoint} gave an answer that is none.") from error
        with self._lock:
            self.tokens += completion.usage.total_tokens
        return said.strip()

    def _posted(self, body: bytes) -> bytes:
        """Ask until it answers: a busy engine is asked again, a refusal is final.

        A model that is not served may be in a moment, so another try of the job can help.
        """
        cause = ""
        for attempt in range(self._tries):
            if attempt:
                self._pause(2.0 ** (attempt - 1))
            request = urllib.request.Request(self._url, body, self._headers)
            try:
                with _OPENER.open(request, timeout=self._timeout) as response:
                    content: bytes = response.read()
                    return content
            except urllib.error.HTTPError as error:
                cause = f"status {error.code}"
                error.close()
                if error.code == NOT_SERVED:
                    raise EngineUnreachable(
                        f"The engine at {self._endpoint} does not serve model {self._model} ({cause}); "
                        "load it."
                    ) from error
                if error.code < 500 and error.code not in BUSY:
                    mend = (
                        MEND_TOKEN if error.code in FORBIDDEN else "read its log, mend the cause, then retry."
                    )
                    raise EngineRefused(
                        f"The engine at {self._endpoint} refused a question to {self._model} with {cause}; "
                        f"{mend}"
                    ) from error
            except (OSError, HTTPException) as error:
                cause = str(error)
        raise EngineUnreachable(f"The engine at {self._endpoint} does not answer ({cause}); start it.")

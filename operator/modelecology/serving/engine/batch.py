"""The batch under way: rows join by prefill, go one token at a time, and leave when they are done."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

Finish = Literal["stop", "length"]

MAX_STOPS: Final = 4
MAX_STOP_CHARACTERS: Final = 256  # every token is held beside every part of each

_UNFINISHED: Final = "\N{REPLACEMENT CHARACTER}"
"""What a character's first bytes are read as, until its last ones are there."""


class Mind(Protocol):
    """What a batch needs of the model; `Generalist` is one."""

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        ...

    def forward(
        self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, slots: Sequence[str]
    ) -> Tensor:
        """Logits of the last position, [rows, vocabulary]."""
        ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is picked. Temperature 0 is greedy, and then nothing else matters."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """One answer wanted: the prompt's tokens, the adapter's slot, and where to stop."""

    tokens: tuple[int, ...]
    slot: str
    max_tokens: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer: its text, why it ended, and how many tokens were read and written."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True, eq=False)
class Row:
    """A prompt on its way through the batch. Whoever waits may end it early by finishing the future."""

    prompt: Prompt
    hear: Callable[[str], None] | None = None
    """Is told each piece of the answer once no later token can change it, in the model's thread."""
    future: Future[Completion] = field(default_factory=Future)
    tokens: list[int] = field(default_factory=list)
    generator: torch.Generator | None = None
    said: int = 0

    def say(self, text: str) -> None:
        """Tell what of the answer so far was not told yet."""
        if self.hear is not None and len(text) > self.said:
            self.hear(text[self.said :])
            self.said = len(text)

    def finish(self, completion: Completion) -> None:
        """Hand the answer over, unless the one who waits has gone."""
        try:
            self.future.set_result(completion)
        except InvalidStateError:
            return

    def fail(self, error: Exception) -> None:
        """Hand an error over, unless the one who waits has gone."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return


class Batch:
    """Rows of any mix of adapters that share one cache, left-padded to one length."""

    def __init__(self, mind: Mind) -> None:
        self._mind = mind
        self._cache = DynamicCache()
        self._mask = torch.zeros(0, 0, dtype=torch.long)
        self.rows: list[Row] = []

    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows in one pass, pick their first tokens, and let them join."""
        length = max(len(row.prompt.tokens) for row in rows)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for index, row in enumerate(rows):
            size = len(row.prompt.tokens)
            tokens[index, length - size :] = torch.tensor(row.prompt.tokens)
            mask[index, length - size :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache()
        logits = self._mind.forward(tokens, mask, positions, cache, [row.prompt.slot for row in rows])
        newcomers = Batch(self._mind)
        newcomers.rows, newcomers._cache, newcomers._mask = list(rows), cache, mask
        newcomers._take(logits)
        self._join(newcomers)

    def step(self) -> None:
        """Write one more token of every row, and let finished rows go."""
        last = torch.tensor([[row.tokens[-1]] for row in self.rows])
        self._mask = functional.pad(self._mask, (0, 1), value=1)
        positions = self._mask.sum(-1, keepdim=True) - 1
        slots = [row.prompt.slot for row in self.rows]
        self._take(self._mind.forward(last, self._mask, positions, self._cache, slots))

    def drop_abandoned(self) -> None:
        """Let go of rows whose future was finished by somebody else."""
        self._keep(lambda row: not row.future.done())

    def fail(self, error: Exception) -> None:
        """Fail every row and start afresh."""
        for row in self.rows:
            row.fail(error)
        self._clear()

    def _take(self, logits: Tensor) -> None:
        greedy = logits.argmax(-1).tolist()
        for index, row in enumerate(self.rows):
            sampled = row.prompt.sampling.temperature > 0
            row.tokens.append(_sample(logits[index], row) if sampled else greedy[index])
            self._tell(row)
        self.drop_abandoned()

    def _tell(self, row: Row) -> None:
        """Tell what the newest token adds, and hand the answer over if it ends it."""
        ended = row.tokens[-1] in self._mind.ends
        full = len(row.tokens) >= row.prompt.max_tokens
        if not (ended or full or row.prompt.stops or row.hear):
            return
        text = self._mind.decode(row.tokens[:-1] if ended else row.tokens)
        cuts = [text.find(stop) for stop in row.prompt.stops if stop in text]
        if not (ended or full or cuts):
            row.say(_settled(text, row.prompt.stops))
            return
        if cuts:
            text = text[: min(cuts)]
        row.say(text)
        finish: Finish = "stop" if ended or cuts else "length"
        row.finish(Completion(text, finish, len(row.prompt.tokens), len(row.tokens)))

    def _keep(self, wanted: Callable[[Row], bool]) -> None:
        kept = [index for index, row in enumerate(self.rows) if wanted(row)]
        if len(kept) == len(self.rows):
            return
        if not kept:
            self._clear()
            return
        chosen = torch.tensor(kept)
        self.rows = [self.rows[index] for index in kept]
        self._mask = self._mask[chosen]
        # What is padding in every row that stays is cut off, else the longest prompt would cost for ever.
        start = int(self._mask.any(0).int().argmax())
        self._mask = self._mask[:, start:]
        self._cache = DynamicCache(
            [(keys[chosen, :, start:], values[chosen, :, start:]) for keys, values in _pairs(self._cache)]
        )

    def _join(self, other: "Batch") -> None:
        if not other.rows:
            return
        if not self.rows:
            self.rows, self._cache, self._mask = other.rows, other._cache, other._mask
            return
        length = max(self._mask.shape[1], other._mask.shape[1])
        self._cache = DynamicCache(
            [
                (
                    torch.cat([_pad_keys(mine[0], length), _pad_keys(theirs[0], length)]),
                    torch.cat([_pad_keys(mine[1], length), _pad_keys(theirs[1], length)]),
                )
                for mine, theirs in zip(_pairs(self._cache), _pairs(other._cache), strict=True)
            ]
        )
        self._mask = torch.cat(
            [functional.pad(mask, (length - mask.shape[1], 0)) for mask in (self._mask, other._mask)]
        )
        self.rows = [*self.rows, *other.rows]

    def _clear(self) -> None:
        self.rows = []
        self._cache = DynamicCache()
        self._mask = torch.zeros(0, 0, dtype=torch.long)


def _pairs(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, [rows, heads, length, width]."""
    pairs: list[tuple[Tensor, Tensor]] = []
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            raise TypeError(f"a cache layer of {type(layer).__name__} cannot be mixed")
        pairs.append((layer.keys, layer.values))
    return pairs


def _pad_keys(state: Tensor, length: int) -> Tensor:
    return functional.pad(state, (0, 0, length - state.shape[-2], 0))


def _settled(text: str, stops: Sequence[str]) -> str:
    """Leave out the end that the next token may change: a part of a character, or of a text that ends all."""
    text = text.rstrip(_UNFINISHED)
    most = len(text) + 1
    begun = [n for stop in stops for n in range(1, min(len(stop), most)) if text.endswith(stop[:n])]
    return text[: len(text) - max(begun, default=0)]


def _sample(logits: Tensor, row: Row) -> int:
    """Pick by temperature and nucleus, from the row's own generator: the batch around it changes nothing."""
    if row.generator is None:
        row.generator = torch.Generator().manual_seed(row.prompt.sampling.seed)
    odds = torch.softmax(logits / row.prompt.sampling.temperature, -1)
    ordered, order = odds.sort(descending=True, stable=True)
    outside = ordered.cumsum(-1) - ordered >= row.prompt.sampling.top_p
    ordered = ordered.masked_fill(outside, 0.0)
    choice = torch.multinomial(ordered, 1, generator=row.generator)
    return int(order[choice])

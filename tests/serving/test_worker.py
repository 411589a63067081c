"""The model's thread: failures, limits and orders, with a mind that tests can hold still."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from modelecology.serving.engine.batch import Completion, Prompt
from modelecology.serving.engine.refusal import Refusal
from modelecology.serving.engine.worker import Worker

PATIENCE = 30.0


class Mind:
    """Says token 1 for ever; `gate` holds each pass, `broken` makes it fail."""

    def __init__(self) -> None:
        self.ends = frozenset({0})
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.broken = False
        self.batches: list[tuple[str, ...]] = []

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))

    def forward(
        self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, slots: Sequence[str]
    ) -> Tensor:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if self.broken:
            raise RuntimeError("out of memory")
        self.batches.append(tuple(slots))
        state = torch.zeros(len(tokens), 1, tokens.shape[1], 1)
        cache.update(state, state, 0)
        return torch.tensor([[0.0, 1.0]]).repeat(len(tokens), 1)


class Quiet:
    def stepped(self, rows: int) -> None:
        """Nobody counts."""


@pytest.fixture
def mind() -> Mind:
    return Mind()


@pytest.fixture
def worker(mind: Mind) -> Iterator[Worker]:
    """A running thread that serves the mind."""
    worker = Worker(Quiet(), max_rows=2, max_waiting=3)
    worker.start()
    worker.adopt(mind)
    yield worker
    mind.gate.set()
    worker.stop(PATIENCE)
    assert not worker.alive


def prompt(slot: str = "a", limit: int = 3) -> Prompt:
    return Prompt((1, 1), slot, limit)


def done(*futures: Future[Completion]) -> list[Completion]:
    wait(futures, PATIENCE)
    return [future.result(timeout=0) for future in futures]


def test_prompts_that_wait_together_run_in_one_batch(worker: Worker, mind: Mind) -> None:
    mind.gate.clear()
    first = worker.submit(prompt("first", 1))
    assert mind.entered.wait(PATIENCE)
    others = [worker.submit(prompt(slot)) for slot in ("a", "b")]
    mind.gate.set()
    assert [completion.text for completion in done(first, *others)] == ["1", "1 1 1", "1 1 1"]
    assert mind.batches == [("first",), ("a", "b"), ("a", "b"), ("a", "b")]


def test_a_batch_never_holds_more_rows_than_allowed(worker: Worker, mind: Mind) -> None:
    done(*(worker.submit(prompt(limit=2)) for _ in range(3)))
    assert max(len(batch) for batch in mind.batches) <= 2


def test_too_many_waiting_are_told_to_come_back(worker: Worker, mind: Mind) -> None:
    mind.gate.clear()
    running = worker.submit(prompt())
    assert mind.entered.wait(PATIENCE)
    waiting = [worker.submit(prompt()) for _ in range(3)]
    with pytest.raises(Refusal, match="3 requests wait already") as caught:
        worker.submit(prompt())
    assert caught.value.status == 503
    mind.gate.set()
    assert len(done(running, *waiting)) == 4


def test_a_failed_pass_fails_its_rows_and_the_next_prompt_is_served(worker: Worker, mind: Mind) -> None:
    mind.broken = True
    failed = worker.submit(prompt())
    with pytest.raises(Refusal, match="RuntimeError") as caught:
        failed.result(PATIENCE)
    assert caught.value.status == 500
    mind.broken = False
    assert done(worker.submit(prompt()))[0].finish == "length"


def test_an_order_runs_between_two_steps_of_a_running_batch(worker: Worker, mind: Mind) -> None:
    mind.gate.clear()
    running = worker.submit(prompt(limit=50))
    assert mind.entered.wait(PATIENCE)
    passes = worker.call(lambda: len(mind.batches))
    mind.gate.set()
    assert passes.result(PATIENCE) == 1
    assert done(running)[0].completion_tokens == 50


def test_the_error_of_an_order_is_handed_back_and_the_thread_lives(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0).result(PATIENCE)
    assert worker.alive


def test_a_prompt_that_is_abandoned_while_it_waits_is_never_read(worker: Worker, mind: Mind) -> None:
    mind.gate.clear()
    running = worker.submit(prompt("running"))
    assert mind.entered.wait(PATIENCE)
    waiting = worker.submit(prompt("abandoned"))
    assert waiting.cancel()
    mind.gate.set()
    done(running, worker.submit(prompt("last")))
    assert not any("abandoned" in batch for batch in mind.batches)


def test_a_stopped_worker_refuses_and_ends_what_runs(worker: Worker, mind: Mind) -> None:
    mind.gate.clear()
    running = worker.submit(prompt(limit=1000))
    assert mind.entered.wait(PATIENCE)
    waiting = worker.submit(prompt())
    stopper = threading.Thread(target=worker.stop, args=(PATIENCE,))
    stopper.start()
    while not _refuses(worker):
        waiting.done()
    mind.gate.set()
    stopper.join(PATIENCE)
    for future in (running, waiting):
        with pytest.raises(Refusal, match="stopping"):
            future.result(PATIENCE)


def _refuses(worker: Worker) -> bool:
    try:
        worker.call(lambda: None)
    except Refusal as refusal:
        return refusal.status == 503
    return False


def test_pieces_are_told_as_they_are_written_and_are_the_answer(worker: Worker, mind: Mind) -> None:
    pieces: list[str] = []
    answer = done(worker.submit(prompt(limit=4), pieces.append))[0]
    assert pieces == ["1", " 1", " 1", " 1"]
    assert "".join(pieces) == answer.text


def test_a_piece_that_may_begin_a_stop_is_held_back_until_it_does_not(worker: Worker, mind: Mind) -> None:
    pieces: list[str] = []
    stopping = replace(prompt(limit=4), stops=(" 1 2",))
    assert done(worker.submit(stopping, pieces.append))[0].text == "1 1 1 1"
    assert pieces == ["1", " 1", " 1 1"]
    pieces.clear()
    stopping = replace(prompt(limit=4), stops=("1 1",))
    assert done(worker.submit(stopping, pieces.append))[0].text == "".join(pieces) == ""


def test_a_part_of_a_character_is_held_back(worker: Worker, mind: Mind) -> None:
    texts = {1: "\N{REPLACEMENT CHARACTER}", 2: "\N{SNOWMAN}", 3: "\N{SNOWMAN}\N{REPLACEMENT CHARACTER}"}
    mind.decode = lambda tokens: texts[len(tokens)]  # type: ignore[method-assign]
    pieces: list[str] = []
    answer = done(worker.submit(prompt(limit=3), pieces.append))[0]
    assert pieces == ["\N{SNOWMAN}", "\N{REPLACEMENT CHARACTER}"]
    assert answer.text == texts[3]

"""Users of a population: they ask through its gateway, by turns and by seed, and say later what was right.

What is asked follows from the seed alone; how often, and in which mood, the owner of the traffic says.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from testbed.asking import GatewayClient, NoReply
from testbed.tally import Answer, Book

USERS = 100_000
"""Of each task. Live evidence counts a user once, so few are met twice."""

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks, and what is right."""

    prompt: str
    label: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """The users of one task: what they ask, what they put before it in a hurry, and the longest answer."""

    task: str
    questions: Sequence[Question]
    tokens: int
    hurry: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """Requests per second in all, each task's part of them, and the share that is asked in a hurry."""

    rate: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)
    hurried: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of one user."""

    task: str
    user: str
    prompt: str
    label: str
    tokens: int


class Script:
    """Who asks what next. Equal seeds and equal paces give equal requests."""

    def __init__(self, crowds: Sequence[Crowd], seed: int) -> None:
        self._crowds = {crowd.task: crowd for crowd in crowds}
        self._choice = random.Random(f"tasks {seed}")
        self._orders = {crowd.task: random.Random(f"{crowd.task} {seed}") for crowd in crowds}
        self._left: dict[str, list[Question]] = {crowd.task: [] for crowd in crowds}

    def next(self, pace: Pace) -> Ask:
        """Choose a task, a user, a question that was not asked for longest, and whether there is a hurry.

        Raises ValueError where the pace names no task of ours.
        """
        tasks = sorted(task for task, share in pace.shares.items() if share > 0 and task in self._crowds)
        if not tasks:
            raise ValueError(f"the pace shares requests among {sorted(pace.shares)}, and nobody asks those")
        task = self._choice.choices(tasks, [pace.shares[task] for task in tasks])[0]
        crowd, order = self._crowds[task], self._orders[task]
        if not self._left[task]:
            self._left[task] = order.sample(crowd.questions, len(crowd.questions))
        question, user, mood = self._left[task].pop(), order.randrange(USERS), order.random()
        prompt = crowd.hurry + question.prompt if mood < pace.hurried else question.prompt
        return Ask(task, f"{task}-{user:05d}", prompt, question.label, crowd.tokens)


class Traffic:
    """The users, as `workers` threads of this process; at most so many requests are open at once.

    A turn for which no worker was free is lost, so that nothing piles up before a slow engine.
    """

    def __init__(self, client: GatewayClient, script: Script, *, workers: int = 2) -> None:
        self.book = Book()
        self._client = client
        self._script = script
        self._lock = threading.Lock()
        self._pace = Pace()
        self._due = 0.0
        self._ending = threading.Event()
        self._workers = [
            threading.Thread(target=self._ask_on, name=f"users-{number}") for number in range(workers)
        ]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for worker in self._workers:
            worker.join()

    def set_pace(self, pace: Pace) -> None:
        """Change how they ask, from the next request on."""
        with self._lock:
            self._pace = pace

    def _ask_on(self) -> None:
        while not self._ending.is_set():
            ask = self._turn()
            if ask is None:
                self._ending.wait(_PAUSE_SECONDS)
            else:
                self.book.add(self._answer(ask))

    def _turn(self) -> Ask | None:
        with self._lock:
            now, pace = time.monotonic(), self._pace
            if pace.rate <= 0 or now < self._due:
                return None
            self._due = now + 1 / pace.rate
            return self._script.next(pace)

    def _answer(self, ask: Ask) -> Answer:
        started = time.monotonic()
        try:
            reply = self._client.chat(ask.task, ask.prompt, ask.tokens, ask.user)
        except NoReply:
            return Answer(ask.task, "", "NoReply", started, time.monotonic(), right=None)
        ended = time.monotonic()
        right = None
        if reply.text is not None:
            right = reply.text.strip() == ask.label
            self._client.label(reply.request_id, ask.label)
        return Answer(ask.task, reply.route, reply.reason, started, ended, right=right)


def read_questions(content: bytes) -> tuple[Question, ...]:
    """Read questions from JSON lines with prompt and answer."""
    rows = (json.loads(line) for line in content.split(b"\n") if line.strip())
    return tuple(Question(str(row["prompt"]), str(row["answer"])) for row in rows)

"""What vLLM and our CPU engine answer beside peft, on a demo's adapters or on ones trained now."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from peft import PeftModel

from bench.goals import Goals
from modelecology.api.suite import Task
from modelecology.engines.residency import HEARD
from modelecology.engines.vllm import VllmEngine
from modelecology.jobs.code import code_digest
from modelecology.jobs.intents import DataRef, Lora, Recipe, ReplayRef, TrainIntent, train_key
from modelecology.store import ArtifactStore, directory_digest, file_digest
from modelecology.store.records import is_key
from modelecology.workloads.answerers import LocalAnswerer, ServedAnswerer
from modelecology.workloads.base import checked_base
from modelecology.workloads.meter import Meter
from modelecology.workloads.model import load_base, wrapping
from modelecology.workloads.rows import EvalItem, eval_items
from modelecology.workloads.scorers import contains, exact
from modelecology.workloads.train import train
from testbed.demo.prepare import DATA, QUICKSTART, store
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports, start
from testbed.vllm import VllmServer

GOAL_HEARD: Final = 0.75
"""Share of answers that must begin alike, or the operator would not prove a good adapter."""

TRAINED: Final = ("dates", "cron")
"""What is trained where no demo left adapters."""

_ADAPTERS: Final = 4
_RANK: Final = 16
_READY_SECONDS: Final = 180.0
_SMALL: Final = 8  # rows of peft's smaller batches, as many as an engine is asked at once


class NoAdapters(Exception):
    """Raised when there is nothing to compare; says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in a store: its own name, where it lies, and the task that it was made for."""

    name: str
    path: Path
    task: Task


def parity(goals: Goals, base: Path, demo: Path, most: int, dtype: str) -> None:
    """Ask all of them and print how often they agree. Raises NoAdapters and the testbed's errors."""
    with ExitStack() as stack:
        if (demo / "store.json").exists():
            root = demo
        else:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-parity-")))
            _train(root, base)
        adapters = found_in(root)
        if not adapters:
            raise NoAdapters(f"{root} holds no adapter; run make demo, or give another --store")
        questions = {each.task.name: _questions(root, each.task, most) for each in adapters}
        ours = _told("peft", lambda: _by_peft(base, adapters, questions, 32))
        small = _told("peft, small batches", lambda: _by_peft(base, adapters, questions, _SMALL))
        with _our_engine(base, dtype) as endpoint:
            engine = _told("our engine", lambda: _by_engine(endpoint, None, adapters, questions))
        with VllmServer(base, adapters=_ADAPTERS, rank=_RANK, dtype=dtype) as server:
            vllm = _told("vLLM", lambda: _by_engine(server.endpoint, server.token, adapters, questions))
    _tell(
        goals,
        adapters,
        questions,
        ours,
        {f"peft, batches of {_SMALL}": small, "our engine": engine, "vLLM": vllm},
    )


Said = Mapping[str, tuple[str, ...]]
"""What was answered, by the adapter's name, in the order of its task's questions."""


def found_in(root: Path) -> list[Adapter]:
    """The adapters of a store whose names begin like a task of the quickstart's suite, the newest each."""
    tasks = _tasks()
    opened = ArtifactStore.open(f"file://{root.resolve()}")
    found: dict[str, Adapter] = {}
    folders = sorted((root / "artifacts").iterdir(), key=lambda folder: folder.stat().st_mtime)
    for key in (folder.name for folder in folders if is_key(folder.name)):
        if opened.commit_of(key) is None or (manifest := opened.manifest(key)).kind != "Train":
            continue
        name = str(manifest.meta.get("specialist"))
        task = next((task for task in tasks if name.startswith(task.name)), None)
        if task is not None:
            found[name] = Adapter(name, Path(opened.local_path(key)), task)
    return [found[name] for name in sorted(found)]


def _tasks() -> list[Task]:
    suite = yaml.safe_load((QUICKSTART / "suite.yaml").read_text(encoding="utf-8"))
    return [Task.model_validate(each) for each in suite["spec"]["tasks"]]


def _questions(root: Path, task: Task, most: int) -> tuple[EvalItem, ...]:
    path = root / DATA / task.data.uri.rpartition("/")[2]
    ref = DataRef(uri=f"file://{path.resolve()}", digest=file_digest(str(path)))
    return eval_items(ref, ArtifactStore.open(f"file://{root.resolve()}").places)[:most]


def _train(root: Path, base: Path) -> None:
    """Train adapters of the quickstart by its own manifests."""
    store(root, base)
    manifests = yaml.safe_load_all((QUICKSTART / "specialists.yaml").read_text(encoding="utf-8"))
    for manifest in manifests:
        name = str(manifest["metadata"]["name"])
        if name in TRAINED:
            print(f"bench: no demo's store; training {name}", file=sys.stderr, flush=True)
            train(_order(root, base, name, manifest["spec"]["source"]["train"]), *_work(root))


def _work(root: Path) -> tuple[ArtifactStore, Meter]:
    return ArtifactStore.open(f"file://{root}"), Meter()


def _order(root: Path, base: Path, name: str, told: Mapping[str, Any]) -> TrainIntent:
    def place(uri: str) -> str:
        return f"file://{root / uri.removeprefix('store:///')}"

    data = DataRef(uri=place(told["data"]["uri"]), digest=told["data"]["digest"])
    replay = ReplayRef(**{**told["replay"], "uri": place(told["replay"]["uri"])})
    lora, recipe = Lora.model_validate(told["lora"]), Recipe.model_validate(told["recipe"])
    digest, code = directory_digest(str(base)), code_digest()
    return TrainIntent(
        key=train_key(
            base_digest=digest,
            data_digest=data.digest,
            replay=replay,
            lora=lora,
            recipe=recipe,
            sealed=(),
            code=code,
        ),
        store=f"file://{root}",
        base=DataRef(uri=f"file://{base}", digest=digest),
        code=code,
        data=data,
        replay=replay,
        lora=lora,
        recipe=recipe,
        specialist=name,
        threads=2,
    )


def _by_peft(
    base: Path, adapters: Sequence[Adapter], questions: Mapping[str, tuple[EvalItem, ...]], rows: int
) -> Said:
    """Answer as an evaluation does."""
    said = {}
    for adapter in adapters:
        ref = DataRef(uri=f"file://{base.resolve()}", digest=directory_digest(str(base)))
        loaded = load_base(checked_base(ref, ArtifactStore.open(f"file://{_root_of(adapter)}").places))
        with wrapping():
            model: Any = PeftModel.from_pretrained(loaded.model, str(adapter.path))
        model.eval()
        answerer = LocalAnswerer(loaded, model, rows)
        prompts = [item.prompt for item in questions[adapter.task.name]]
        said[adapter.name] = answerer.answers(prompts, adapter.task.max_new_tokens, lambda _done: None)
    return said


def _root_of(adapter: Adapter) -> Path:
    return adapter.path.parents[2].resolve()


def _by_engine(
    endpoint: str,
    token: str | None,
    adapters: Sequence[Adapter],
    questions: Mapping[str, tuple[EvalItem, ...]],
) -> Said:
    """Load each adapter into a server and ask it."""
    said = {}
    for adapter in adapters:
        asyncio.run(_change(endpoint, token, adapter, load=True))
        prompts = [item.prompt for item in questions[adapter.task.name]]
        answerer = ServedAnswerer(endpoint, adapter.name, token)
        said[adapter.name] = answerer.answers(prompts, adapter.task.max_new_tokens, lambda _done: None)
        asyncio.run(_change(endpoint, token, adapter, load=False))
    return said


async def _change(endpoint: str, token: str | None, adapter: Adapter, *, load: bool) -> None:
    engine = VllmEngine(endpoint, token=token)
    try:
        if load:
            await engine.load(adapter.name, str(adapter.path.resolve()))
        else:
            await engine.unload(adapter.name)
    finally:
        await engine.close()


@contextmanager
def _our_engine(base: Path, dtype: str) -> Iterator[str]:
    (port,) = free_ports(1)
    options = ["--model", str(base), "--port", str(port), "--dtype", dtype, "--max-lora-rank", str(_RANK)]
    arguments = ["-m", "modelecology.serving.engine", *options]
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as directory:
        process = start(Command("engine", Path(sys.executable), arguments), Path(directory) / "engine.log")
        try:
            process.wait_ready(lambda: answers_plainly(port, "/health"), _READY_SECONDS)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stop(10.0)


def _told(who: str, ask: Any) -> Said:
    print(f"bench: parity, {who}", file=sys.stderr, flush=True)
    said: Said = ask()
    return said


def equal_shares(said: Sequence[str], beside: Sequence[str]) -> tuple[float, float]:
    """Share of answers that are the same, and of those that begin alike as far as a proof compares."""
    pairs = [(one.strip(), other.strip()) for one, other in zip(said, beside, strict=True)]
    whole = sum(one == other for one, other in pairs)
    heard = sum(one[:HEARD] == other[:HEARD] for one, other in pairs)
    return whole / len(pairs), heard / len(pairs)


def _tell(
    goals: Goals,
    adapters: Sequence[Adapter],
    questions: Mapping[str, tuple[EvalItem, ...]],
    ours: Said,
    others: Mapping[str, Said],
) -> None:
    goals.title("Greedy answers beside peft's in batches of 32")
    goals.row("", "equal", f"first {HEARD} letters", "score", "peft's score")
    least = 1.0
    for adapter in adapters:
        items = questions[adapter.task.name]
        for who, said in others.items():
            whole, heard = equal_shares(said[adapter.name], ours[adapter.name])
            goals.row(
                f"{adapter.name} ({len(items)}), {who}",
                f"{whole:.1%}",
                f"{heard:.1%}",
                f"{_score(adapter.task, items, said[adapter.name]):.3f}",
                f"{_score(adapter.task, items, ours[adapter.name]):.3f}",
            )
            if who == "vLLM":
                least = min(least, heard)
    text = f"at least {least:.1%} of an adapter's answers begin alike (needed {GOAL_HEARD:.0%})"
    goals.goal("vLLM serves what peft evaluated", text, least >= GOAL_HEARD)


def _score(task: Task, items: Sequence[EvalItem], said: Sequence[str]) -> float:
    scorer = exact if task.scorer == "Exact" else contains
    return sum(scorer(item, text) for item, text in zip(items, said, strict=True)) / len(items)

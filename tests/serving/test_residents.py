"""Names, capacity, and the drain before weights are deleted."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from modelecology.serving.engine.admission import AdapterFiles
from modelecology.serving.engine.batch import Completion
from modelecology.serving.engine.fit import LoraWeights
from modelecology.serving.engine.metrics import EngineMetrics
from modelecology.serving.engine.pool import Slot
from modelecology.serving.engine.readers import MOST, readers
from modelecology.serving.engine.refusal import Refusal, bad_request
from modelecology.serving.engine.residents import Residents
from tests.engines.tiny_base import make_adapter


class Shelf:
    """A loader that only remembers; `broken` makes it fail."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.broken = False

    def fit(self, files: AdapterFiles) -> LoraWeights:
        if self.broken:
            raise bad_request("does not fit")
        return LoraWeights(files.path, {})

    def attach(self, weights: LoraWeights) -> Slot:
        key = f"slot{len(self.held)}"
        self.held[key] = weights.path
        return Slot(key, 10)

    def detach(self, key: str) -> None:
        if self.broken:
            raise RuntimeError("cannot delete")
        del self.held[key]


def at_once(act: Callable[[], Any]) -> "Future[Any]":
    """Stands for the model's thread."""
    future: Future[Any] = Future()
    try:
        future.set_result(act())
    except Exception as error:  # as the worker hands it over
        future.set_exception(error)
    return future


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sound adapter."""
    return str(make_adapter(tmp_path_factory.mktemp("adapters") / "one", seed=1))


def residents(drain_seconds: float = 30.0) -> Residents:
    return Residents(
        "generalist", EngineMetrics(), capacity=2, max_rank=8, roots=(), drain_seconds=drain_seconds
    )


def listed(served: Residents) -> list[str]:
    return [resident.name for resident in served]


async def test_an_adapter_takes_requests_from_its_loading_to_its_unloading(shelf: Shelf, path: str) -> None:
    served = residents()
    await served.load("dates", path, shelf, at_once)
    with served.use("dates") as use:
        assert shelf.held == {use.slot: path}
    await served.unload("dates", shelf, at_once)
    assert listed(served) == []
    assert shelf.held == {}


async def test_two_loads_of_one_name_at_once_make_one_adapter(shelf: Shelf, path: str) -> None:
    served = residents()
    outcomes = await asyncio.gather(
        *(served.load("dates", path, shelf, at_once) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "Refusal"]
    assert len(shelf.held) == 1


async def test_loads_under_way_count_against_the_capacity(shelf: Shelf, path: str) -> None:
    served = residents()
    outcomes = await asyncio.gather(
        *(served.load(f"dates-{n}", path, shelf, at_once) for n in range(3)), return_exceptions=True
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert ["slots" in refusal.message for refusal in refusals] == [True]
    assert len(listed(served)) == 2


async def test_a_failed_load_frees_its_name(shelf: Shelf, path: str) -> None:
    served = residents()
    shelf.broken = True
    with pytest.raises(Refusal, match="does not fit"):
        await served.load("dates", path, shelf, at_once)
    shelf.broken = False
    await served.load("dates", path, shelf, at_once)
    assert listed(served) == ["dates"]


async def test_an_unload_waits_for_requests_under_way_and_takes_no_new_ones(shelf: Shelf, path: str) -> None:
    served = residents()
    await served.load("dates", path, shelf, at_once)
    with served.use("dates"):
        unloading = asyncio.create_task(served.unload("dates", shelf, at_once))
        await asyncio.sleep(0)
        assert listed(served) == []
        assert shelf.held != {}
        with pytest.raises(Refusal, match="does not exist"), served.use("dates"):
            pass
        with pytest.raises(Refusal, match="cannot be found"):
            await served.unload("dates", shelf, at_once)
        with pytest.raises(Refusal, match="already been loaded"):
            await served.load("dates", path, shelf, at_once)
    await unloading
    assert shelf.held == {}


@pytest.mark.parametrize(("own", "told"), [(0.01, None), (30.0, 0.0), (0.01, 30.0)])
async def test_requests_that_outlast_the_shorter_drain_are_ended_with_503(
    shelf: Shelf, path: str, own: float, told: float | None
) -> None:
    served = residents(drain_seconds=own)
    await served.load("dates", path, shelf, at_once)
    answer: Future[Completion] = Future()
    with served.use("dates") as use:
        use.futures.append(answer)
        unloading = asyncio.create_task(served.unload("dates", shelf, at_once, told))
        with pytest.raises(Refusal, match="is being unloaded") as caught:
            await asyncio.wrap_future(answer)
        assert caught.value.status == 503
        assert shelf.held != {}
    await unloading
    assert shelf.held == {}


async def test_a_request_that_was_still_being_read_when_its_time_was_over_is_ended_too(
    shelf: Shelf, path: str
) -> None:
    served = residents()
    await served.load("dates", path, shelf, at_once)
    answer: Future[Completion] = Future()
    with served.use("dates") as use:
        unloading = asyncio.create_task(served.unload("dates", shelf, at_once, 0.0))
        await asyncio.sleep(0)
        use.futures.append(answer)
        with pytest.raises(Refusal, match="is being unloaded"):
            await asyncio.wrap_future(answer)
    await unloading
    assert shelf.held == {}


async def test_an_unload_that_fails_leaves_the_adapter_served(shelf: Shelf, path: str) -> None:
    served = residents()
    await served.load("dates", path, shelf, at_once)
    shelf.broken = True
    with pytest.raises(RuntimeError, match="cannot delete"):
        await served.unload("dates", shelf, at_once)
    assert listed(served) == ["dates"]


@pytest.mark.parametrize("name", ["x" * 254, "two\nlines"])
async def test_a_name_that_is_too_long_or_not_printable_is_refused(
    shelf: Shelf, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Refusal, match="lora_name"):
        await residents().load(name, str(tmp_path), shelf, at_once)


def test_readers_compute_on_one_core_and_leave_other_threads_theirs() -> None:
    before = torch.get_num_threads()
    with readers() as threads:
        assert {threads.submit(torch.get_num_threads).result() for _ in range(MOST)} == {1}
    assert torch.get_num_threads() == before

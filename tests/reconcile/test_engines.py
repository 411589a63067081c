"""One engine, brought to what is wanted: what it says is believed only when its answers prove it."""

from __future__ import annotations

import pytest

from modelecology.engines.double import EngineDouble, Lie, distinct_voice
from modelecology.engines.port import Fingerprint, Probe
from modelecology.reconcile.boards import EngineView, ResidencyBoard, Standing
from modelecology.reconcile.engines import TRIES, Resident, reconcile_engine

PATH = "/store/dates"
NAME = "dates-aaaaaaaaaaaa"
PROBES = Fingerprint(
    tuple(Probe(q, distinct_voice(PATH, q), distinct_voice(None, q)) for q in ("one", "two", "three"))
)
WANTED = {NAME: Resident(NAME, PATH, PROBES)}
OURS = frozenset({NAME})


@pytest.fixture
def engine() -> EngineDouble:
    """An engine that finds every path."""
    return EngineDouble(exists=lambda _path: True)


async def test_what_is_wanted_is_loaded_and_proved_once(engine: EngineDouble) -> None:
    view = EngineView()
    assert await reconcile_engine(engine, view, WANTED, OURS)
    assert view.standing == {NAME: Standing.PROVED}
    assert not await reconcile_engine(engine, view, WANTED, OURS)
    assert [call for call in engine.calls if call[0] == "load"] == [("load", NAME)]


async def test_what_was_there_before_us_is_proved_without_loading_it_again(engine: EngineDouble) -> None:
    await engine.load(NAME, PATH)
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS)
    assert view.standing == {NAME: Standing.PROVED}
    assert engine.calls.count(("load", NAME)) == 1


async def test_an_engine_that_serves_the_base_is_tried_some_times_and_then_it_is_said(
    engine: EngineDouble,
) -> None:
    engine.lies = {Lie.LoadServesBase}
    view = EngineView()
    for tried in range(1, TRIES + 3):
        await reconcile_engine(engine, view, WANTED, OURS)
        assert (NAME in view.standing) == (tried >= TRIES)
    assert view.standing == {NAME: Standing.MISMATCHED}
    assert engine.calls.count(("load", NAME)) == TRIES
    await reconcile_engine(engine, view, {}, OURS)
    assert view.standing == {}
    assert NAME in view.absent


async def test_what_is_ours_and_not_wanted_goes_and_what_is_not_ours_stays(engine: EngineDouble) -> None:
    await engine.load(NAME, PATH)
    await engine.load("somebody-elses", "/else")
    view = EngineView()
    await reconcile_engine(engine, view, {}, OURS)
    assert [card.id for card in await engine.models()] == ["generalist", "somebody-elses"]
    assert view.absent == {NAME}


async def test_an_adapter_of_our_name_that_is_not_ours_is_named_and_left(engine: EngineDouble) -> None:
    await engine.load(NAME, "/else")
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, frozenset())
    assert view.standing == {NAME: Standing.REFUSED}
    assert "not ours" in view.messages[NAME]


async def test_an_engine_that_is_down_is_unreachable_and_what_it_proved_stays_known(
    engine: EngineDouble,
) -> None:
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS)
    engine.down = True
    assert await reconcile_engine(engine, view, WANTED, OURS)
    assert not view.reachable
    assert not await reconcile_engine(engine, view, WANTED, OURS)
    engine.restart()
    engine.down = False
    assert await reconcile_engine(engine, view, WANTED, OURS)
    assert view.standing == {NAME: Standing.PROVED}
    assert engine.calls.count(("load", NAME)) == 2


async def test_the_board_sums_up_what_all_engines_proved(engine: EngineDouble) -> None:
    board = ResidencyBoard()
    where, endpoints = ("d", "desk"), ("http://a", "http://b")
    assert not board.looked(where, endpoints)
    await reconcile_engine(engine, board.view(where, "http://a"), WANTED, OURS)
    found = board.residency(where, endpoints, NAME)
    assert (found.replicas, found.proved, found.unreachable) == (2, 1, 1)
    assert "http://b: not asked yet" in found.message
    assert not board.absent(where, endpoints, NAME)
    for endpoint in endpoints:
        await reconcile_engine(engine, board.view(where, endpoint), {}, OURS)
    assert board.absent(where, endpoints, NAME)
    assert board.looked(where, endpoints)
    board.drop(where)
    assert not board.looked(where, endpoints)

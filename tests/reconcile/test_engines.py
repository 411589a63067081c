"""One engine, brought to what is wanted: what it says is believed only when its answers prove it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelecology.engines.double import EngineDouble, Lie, distinct_voice
from modelecology.engines.port import EngineRefused, EngineUnreachable, Fingerprint, Probe
from modelecology.reconcile.boards import (
    EngineView,
    ResidencyBoard,
    Standing,
    refusals,
    silent,
    unreachable,
)
from modelecology.reconcile.engines import MOST_GONE, PROVED_FOR, TRIES, Resident, reconcile_engine

PATH = "/store/dates"
NAME = "dates-aaaaaaaaaaaa"
PROBES = Fingerprint(
    tuple(Probe(q, distinct_voice(PATH, q), distinct_voice(None, q)) for q in ("one", "two", "three"))
)
WANTED = {NAME: Resident(NAME, PATH, PROBES)}
OURS = frozenset({NAME})
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def now() -> datetime:
    """A clock that stands still."""
    return START


@pytest.fixture
def engine() -> EngineDouble:
    """An engine that finds every path."""
    return EngineDouble(exists=lambda _path: True)


async def test_what_is_wanted_is_loaded_and_proved_once(engine: EngineDouble) -> None:
    view = EngineView()
    assert await reconcile_engine(engine, view, WANTED, OURS, now)
    assert view.standing == {NAME: Standing.PROVED}
    assert not await reconcile_engine(engine, view, WANTED, OURS, now)
    assert [call for call in engine.calls if call[0] == "load"] == [("load", NAME)]


async def test_what_was_there_before_us_is_proved_without_loading_it_again(engine: EngineDouble) -> None:
    await engine.load(NAME, PATH)
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS, now)
    assert view.standing == {NAME: Standing.PROVED}
    assert engine.calls.count(("load", NAME)) == 1


async def test_what_is_missing_is_loaded_in_the_order_in_which_it_is_wanted(engine: EngineDouble) -> None:
    wanted = {name: Resident(name, PATH, PROBES) for name in ("b", "c", "a")}
    await reconcile_engine(engine, EngineView(), wanted, frozenset(wanted), now)
    assert [name for what, name in engine.calls if what == "load"] == ["b", "c", "a"]


async def test_an_engine_that_serves_the_base_is_tried_some_times_and_then_it_is_said(
    engine: EngineDouble,
) -> None:
    engine.lies = {Lie.LoadServesBase}
    view = EngineView()
    for tried in range(1, TRIES + 3):
        await reconcile_engine(engine, view, WANTED, OURS, now)
        assert (NAME in view.standing) == (tried >= TRIES)
    assert view.standing == {NAME: Standing.MISMATCHED}
    assert engine.calls.count(("load", NAME)) == TRIES
    await reconcile_engine(engine, view, {}, OURS, now)
    assert view.standing == {}
    assert NAME in view.absent


async def test_what_is_ours_and_not_wanted_goes_and_what_is_not_ours_stays(engine: EngineDouble) -> None:
    await engine.load(NAME, PATH)
    await engine.load("somebody-elses", "/else")
    view = EngineView()
    await reconcile_engine(engine, view, {}, OURS, now)
    assert [card.id for card in await engine.models()] == ["generalist", "somebody-elses"]
    assert view.absent == {NAME}


async def test_an_adapter_of_our_name_that_is_not_ours_is_named_and_left(engine: EngineDouble) -> None:
    await engine.load(NAME, "/else")
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, frozenset(), now)
    assert view.standing == {NAME: Standing.REFUSED}
    assert "not ours" in view.messages[NAME]


async def test_an_engine_that_is_down_is_unreachable_and_what_it_proved_stays_known(
    engine: EngineDouble,
) -> None:
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS, now)
    engine.down = True
    assert await reconcile_engine(engine, view, WANTED, OURS, now)
    assert not view.reachable
    assert not await reconcile_engine(engine, view, WANTED, OURS, now)
    engine.restart()
    engine.down = False
    assert await reconcile_engine(engine, view, WANTED, OURS, now)
    assert view.standing == {NAME: Standing.PROVED}
    assert engine.calls.count(("load", NAME)) == 2


class Grumpy(EngineDouble):
    """An engine that refuses what it is told to."""

    refuses: tuple[tuple[str, str], ...] = ()

    def _called(self, what: str, name: str) -> None:
        super()._called(what, name)
        if (what, name) in self.refuses:
            raise EngineRefused(403, "not for you")


OTHER = "cron-bbbbbbbbbbbb"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


@pytest.mark.parametrize("what", ["load", "unload", "chat"])
async def test_what_an_engine_refuses_for_one_name_keeps_it_from_nothing_else(what: str) -> None:
    engine = Grumpy(exists=lambda _path: True)
    bad = "bad-cccccccccccc"
    if what == "unload":
        await engine.load(bad, PATH)
    engine.refuses = ((what, bad),)
    wanted = dict(WANTED) if what == "unload" else {**WANTED, bad: Resident(bad, PATH, PROBES)}
    view = EngineView(absent={bad})
    await reconcile_engine(engine, view, wanted, OURS | {bad}, now)
    assert view.standing == {NAME: Standing.PROVED, bad: Standing.REFUSED}
    assert "not for you" in view.messages[bad]
    assert bad not in view.absent
    assert view.reachable
    assert refusals({"http://a": view}) == [f"http://a: {bad}: engine answered 403: not for you"]
    engine.refuses = ()
    await reconcile_engine(engine, view, WANTED, OURS | {bad}, now)
    assert view.standing == {NAME: Standing.PROVED}
    assert bad in view.absent


async def test_an_endpoint_that_is_no_engine_is_not_reachable_and_is_told_as_a_refusal() -> None:
    engine = Grumpy()
    engine.refuses = (("models", ""),)
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS, now)
    views = {"http://a": view}
    assert (view.reachable, view.refused) == (False, True)
    assert silent(views) == []
    assert refusals(views) == unreachable(views) == ["http://a: engine answered 403: not for you"]


async def test_a_refused_load_is_tried_again_ever_later_and_at_once_when_there_is_room() -> None:
    engine = EngineDouble(exists=lambda _path: True, capacity=1)
    await engine.load(OTHER, PATH)
    view, clock = EngineView(), Clock()
    tried = []
    for second in range(200):
        clock.seconds = second
        before = len(engine.calls)
        await reconcile_engine(engine, view, WANTED, OURS, clock)
        assert view.standing == {NAME: Standing.REFUSED}
        if ("load", NAME) in engine.calls[before:]:
            tried.append(second)
    assert tried == [0, 2, 6, 14, 30, 62, 122, 182]
    await reconcile_engine(engine, view, WANTED, OURS | {OTHER}, clock)
    assert view.standing == {NAME: Standing.PROVED}


async def test_a_long_look_stamps_each_of_its_steps(engine: EngineDouble) -> None:
    board, stamps = ResidencyBoard(), []
    assert board.stepped() is None
    view, clock = board.view(("d", "desk"), "http://a"), Clock()
    wanted = {f"{name}-dddddddddddd": Resident(f"{name}-dddddddddddd", PATH, PROBES) for name in "abc"}

    def tick() -> datetime:
        clock.seconds += 100
        stamps.append(board.stepped())
        return clock()

    await reconcile_engine(engine, view, wanted, frozenset(wanted), tick)
    assert set(view.standing.values()) == {Standing.PROVED}
    assert board.stepped() == clock()
    # The list, three loads with their proofs, two that are proved again after a later load, and the end.
    assert len(set(stamps)) == len(stamps) == 7


async def test_one_that_lists_its_models_and_answers_nothing_stays_away(
    engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, clock = EngineView(), [START]
    await reconcile_engine(engine, view, WANTED, OURS, lambda: clock[0])
    clock[0] += PROVED_FOR
    seen = []

    async def fails(*_: object) -> str:
        seen.append(view.reachable)
        raise EngineUnreachable("It does not answer.")

    monkeypatch.setattr(engine, "chat", fails)
    assert await reconcile_engine(engine, view, WANTED, OURS, lambda: clock[0])
    assert not await reconcile_engine(engine, view, WANTED, OURS, lambda: clock[0])
    assert (seen[0], set(seen[len(PROBES.probes) :]), view.reachable) == (True, {False}, False)


async def test_an_adapter_over_whose_answers_an_engine_breaks_takes_no_other_with_it(
    engine: EngineDouble,
) -> None:
    view, clock = EngineView(), [START]
    names = (NAME, "cron-bbbbbbbbbbbb")
    wanted = {name: Resident(name, PATH, PROBES) for name in names}
    await reconcile_engine(engine, view, wanted, frozenset(names), lambda: clock[0])
    engine.broken = {NAME}
    view.proved_at[NAME] -= timedelta(seconds=1)
    for tries in range(1, TRIES + 1):
        clock[0] += PROVED_FOR
        await reconcile_engine(engine, view, wanted, frozenset(names), lambda: clock[0])
        # Once may be chance, or too much work.
        assert view.standing[NAME] is (Standing.PROVED if tries < TRIES else Standing.REFUSED)
    await reconcile_engine(engine, view, wanted, frozenset(names), lambda: clock[0])
    assert view.standing == {NAME: Standing.REFUSED, names[1]: Standing.PROVED}
    assert (view.reachable, view.proved_at[names[1]] > START) == (True, True)
    # An engine that breaks over its base's answers, too, is broken itself.
    engine.broken.add("generalist")
    clock[0] += PROVED_FOR
    await reconcile_engine(engine, view, wanted, frozenset(names), lambda: clock[0])
    assert not view.reachable


async def test_what_was_there_long_ago_is_proved_gone_after_what_users_wait_for_and_little_by_little(
    engine: EngineDouble,
) -> None:
    view, old = EngineView(), frozenset(f"old-{n:012x}" for n in range(MOST_GONE + 10))
    await reconcile_engine(engine, view, WANTED, OURS | old, now)
    first = next(n for n, (what, name) in enumerate(engine.calls) if what == "unload" and name in old)
    assert first > max(n for n, (what, name) in enumerate(engine.calls) if (what, name) == ("chat", NAME))
    assert len(view.absent) == MOST_GONE
    await reconcile_engine(engine, view, WANTED, OURS | old, now)
    assert view.absent == old


async def test_the_board_sums_up_what_all_engines_proved(engine: EngineDouble) -> None:
    board = ResidencyBoard()
    where, endpoints = ("d", "desk"), ("http://a", "http://b")
    assert not board.looked(where, endpoints)
    await reconcile_engine(engine, board.view(where, "http://a"), WANTED, OURS, now)
    found = board.residency(where, endpoints, NAME)
    # One that has just come waits for its first look.
    assert (found.replicas, found.proved, found.unreachable) == (1, 1, 0)
    assert not board.looked(where, endpoints)
    assert not board.absent(where, endpoints, NAME)
    for endpoint in endpoints:
        await reconcile_engine(engine, board.view(where, endpoint), {}, OURS, now)
    assert board.absent(where, endpoints, NAME)
    assert board.looked(where, endpoints)
    assert board.looked(where, (*endpoints, "http://new"))
    assert not board.looked(where, ("http://newer", "http://newest"))
    board.drop(where)
    assert not board.looked(where, endpoints)


async def test_what_users_are_sent_here_for_is_loaded_only_when_they_are_not_sent_here_any_more(
    engine: EngineDouble,
) -> None:
    view = EngineView()
    await reconcile_engine(engine, view, WANTED, OURS, now)
    engine.restart()
    # They are, or it is not known: the operator has just started.
    for routed in ({NAME}, None):
        await reconcile_engine(engine, view, WANTED, OURS, now, routed)
        assert view.standing == {}
    assert engine.calls.count(("load", NAME)) == 1
    await reconcile_engine(engine, view, WANTED, OURS, now, {"cron-bbbbbbbbbbbb"})
    assert view.standing == {NAME: Standing.PROVED}


def two(*lies: Lie) -> tuple[EngineDouble, dict[str, Resident]]:
    """An engine and two adapters for it."""
    paths = {NAME: PATH, OTHER: "/store/cron"}
    probes = {
        name: Fingerprint(tuple(Probe(q, distinct_voice(p, q), distinct_voice(None, q)) for q in "abc"))
        for name, p in paths.items()
    }
    wanted = {name: Resident(name, path, probes[name]) for name, path in paths.items()}
    return EngineDouble(exists=lambda _path: True, lies=lies), wanted


async def test_a_load_is_followed_by_a_proof_of_all_others_in_the_same_look() -> None:
    engine, wanted = two(Lie.EvictionCorrupts)
    view = EngineView()
    await reconcile_engine(engine, view, {NAME: wanted[NAME]}, OURS, now)
    assert view.standing == {NAME: Standing.PROVED}
    await reconcile_engine(engine, view, wanted, frozenset(wanted), now)
    assert view.standing == {OTHER: Standing.PROVED}
    assert NAME not in {card.id for card in await engine.models()}


async def test_of_two_that_corrupt_each_other_one_is_given_up_and_the_other_stays() -> None:
    engine, wanted = two(Lie.EvictionCorrupts)
    view = EngineView()
    for _ in range(20):
        await reconcile_engine(engine, view, wanted, frozenset(wanted), now)
    assert sorted(view.standing.values()) == [Standing.MISMATCHED, Standing.PROVED]
    (kept,) = (name for name, standing in view.standing.items() if standing is Standing.PROVED)
    assert await engine.chat(kept, "a", 8) == distinct_voice(wanted[kept].path, "a")
    assert len([call for call in engine.calls if call[0] == "load"]) <= 2 * TRIES + 1


async def test_what_was_proved_long_ago_is_proved_again_one_a_look_and_loaded_anew_if_it_fails() -> None:
    engine, wanted = two()
    view, clock = EngineView(), Clock()
    await reconcile_engine(engine, view, wanted, frozenset(wanted), clock)
    clock.seconds = PROVED_FOR.total_seconds() - 1
    before = len(engine.calls)
    await reconcile_engine(engine, view, wanted, frozenset(wanted), clock)
    assert engine.calls[before:] == [("models", "")]
    engine._noisy = {NAME, OTHER}
    clock.seconds += 1
    await reconcile_engine(engine, view, wanted, frozenset(wanted), clock)
    assert len(view.standing) == 1
    for _ in range(2):
        await reconcile_engine(engine, view, wanted, frozenset(wanted), clock)
    assert set(view.standing.values()) == {Standing.PROVED}
    assert engine._noisy == set()

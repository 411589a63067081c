"""SIGKILL at random moments: the end is that of an undisturbed run, and nothing is done twice or lost."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.cluster import Cluster
from testbed.operators import Nursery, jobs_at_work
from testbed.waiting import holds_within

from .desk import Desk, open_desk

KILLS_AN_ACT = 5
LATENCY_STEPS = 6
LONGEST_LIFE = 1.0  # seconds to wait for a decision
LONGEST_PAUSE = 0.25  # seconds after it
DECIDED = "modelecology.reconcile.record"
SEED = int(os.environ.get("MODELECOLOGY_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
FIRST = {"dates": "Live", "dates-hasty": "Rejected", "capitals": "Pending", "french": "Shelved"}


def everything_is_applied(desk: Desk) -> None:
    desk.apply_all()


def one_is_retired_and_another_changed(desk: Desk) -> None:
    desk.want("dates", "Retired")
    desk.apply(desk.manifests.specialist("dates-hasty", "dates", 0.6, seed=77))


def the_retired_one_is_wanted_back(desk: Desk) -> None:
    desk.want("dates", "Live")


def one_is_deleted_and_another_changed_again(desk: Desk) -> None:
    desk.kubectl("delete", "specialist", "french", "--wait=false")
    desk.apply(desk.manifests.specialist("dates-hasty", "dates", 0.95, seed=78))


def has_come_to(desk: Desk, rejections: int, served: int, wanted: dict[str, str]) -> bool:
    """Whether all is as the act wants it, engine and store included."""
    found = {name: state.partition(" ")[0] for name, state in desk.states().items()}
    if found != wanted or desk.actions("dates-hasty").count("Reject HardInvariantFailure") != rejections:
        return False
    key = desk.key("dates")
    archived = wanted["dates"] == "Retired"
    return len(desk.engine.adapters()) == served and desk.store.is_archived(key) == archived


ACTS: tuple[tuple[Callable[[Desk], None], int, int, dict[str, str]], ...] = (
    (everything_is_applied, 1, 1, FIRST),
    (one_is_retired_and_another_changed, 2, 0, {**FIRST, "dates": "Retired"}),
    (the_retired_one_is_wanted_back, 2, 1, FIRST),
    (one_is_deleted_and_another_changed_again, 3, 1, {k: v for k, v in FIRST.items() if k != "french"}),
)


def end_state(desk: Desk) -> dict[str, Any]:
    """Say how everything ended, without what depends on the order of things."""
    found: dict[str, Any] = {}
    for name, state in desk.states().items():
        status = desk.status(name)
        revision = status.get("candidate") or status.get("live") or status.get("previous") or {}
        found[name] = (state, revision.get("servedName"), revision.get("key"))
    found["engine"] = desk.engine.adapters()
    found["trainings"] = len([n for n in desk.runner.names() if n.startswith("train-")])
    store = desk.manifests.directory / "store"
    told = {p.parent.name: json.loads(p.read_text()) for p in store.glob("artifacts/*/commit.json")}
    standing = {key: commit.get("standing", "") for key, commit in told.items()}
    found["artifacts"] = sorted(key for key, where in standing.items() if not where)
    found["archive"] = sorted(key for key, where in standing.items() if where == "Archived")
    return found


def undisturbed(desk: Desk) -> dict[str, Any]:
    desk.operator.start()
    for act, *wanted in ACTS:
        act(desk)
        desk.wait(lambda wanted=wanted: has_come_to(desk, *wanted), act.__name__)  # type: ignore[misc]
    desk.operator.kill()
    return end_state(desk)


def random_moment(desk: Desk, chance: random.Random) -> None:
    """Let a while go by: some decisions of this life, if there are any soon, and then some milliseconds."""
    told = desk.operator.log().count(DECIDED) + chance.randint(0, 2)
    holds_within(lambda: desk.operator.log().count(DECIDED) >= told, LONGEST_LIFE)
    holds_within(lambda: False, chance.uniform(0.0, LONGEST_PAUSE))


def crashing(desk: Desk, chance: random.Random) -> dict[str, Any]:
    """Kill the operator at random moments of every act, and start it again."""
    desk.runner.slow_down(LATENCY_STEPS)
    for act, *wanted in ACTS:
        act(desk)
        for _ in range(KILLS_AN_ACT):
            desk.operator.start()
            random_moment(desk, chance)
            desk.operator.kill()
            print(
                f"killed after {len(desk.decisions())} decisions, with {len(desk.runner.unfinished())} jobs"
            )
        desk.operator.start()
        desk.wait(lambda wanted=wanted: has_come_to(desk, *wanted), act.__name__)  # type: ignore[misc]
        desk.operator.kill()
    return end_state(desk)


def test_twenty_crashes_change_nothing_but_the_time_it_takes(
    kinds: Cluster, nursery: Nursery, namespace: str, tmp_path: Path
) -> None:
    print(f"MODELECOLOGY_CRASH_SEED={SEED}")
    calm, storm = tmp_path / "calm", tmp_path / "storm"
    other = kinds.create_namespace("undisturbed")
    with open_desk(kinds, nursery, other, calm) as desk, jobs_at_work(calm / "state"):
        wanted = undisturbed(desk)
    kinds.delete_namespace(other)
    with open_desk(kinds, nursery, namespace, storm) as desk, jobs_at_work(storm / "state") as runner:
        found = crashing(desk, random.Random(SEED))
        log = desk.log()  # raises if the chain has a gap, a fork or a wrong digest
        assert [d["spec"]["sequence"] for d in desk.decisions()] == list(range(1, log.sequence + 1))
        jobs = runner.names()
        assert {n: runner.effects(n) for n in jobs} == dict.fromkeys(jobs, 1)
        assert {n: runner.starts(n) for n in jobs} == dict.fromkeys(jobs, 1)
        assert found == wanted
        assert "Traceback" not in desk.operator.log()

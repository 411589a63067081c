"""SIGKILL before and after every write of a whole life: the log ends as if nothing had happened.

Every write takes minutes, so that is a long test; a handful of them, which a seed chooses, is not.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelecology.api.vocabulary import Action, State
from modelecology.jobs.double import InMemoryRunner
from testbed.cluster import Cluster
from testbed.mortal import Moment, deaths
from testbed.operators import Nursery
from testbed.pretend_desk import PLAYBOOK
from testbed.waiting import holds_within

from .desk import Desk, Object, open_desk
from .test_crash import end_state

LONGEST_ACT = 300.0
SEED = int(os.environ.get("MODELECOLOGY_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
DECISIONS, STATUSES = 3, 2  # of the handful
JOBS = 6  # the generalist's; a training, a screen, a proof, a shadow; and, once live, the rest of the suite
LIFE = (
    Action.PROPOSE,
    Action.EVALUATE,
    Action.PROVE,
    Action.ADMIT,
    Action.PROMOTE,
    Action.RETIRE,
    Action.RESTORE,
)
STATES = (State.PENDING, State.TRAINING, State.EVALUATING, State.SHADOW, State.LIVE, State.RETIRED)
# What goes on with the clock, and what follows from it.
_CLOCK = ("time", "digest", "previous", "inputs", "uid", "residentGibHours", "storedGibHours", "cost")
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


@dataclass(frozen=True)
class Life:
    """What a life leaves behind."""

    log: list[Object]
    end: Object
    jobs: list[str]  # of which kinds; their names tell of the folder
    engine: list[str]  # loads and unloads


@dataclass
class Play:
    """One operator after another on a desk, until an act has come about; with `deaths` they are mortal.

    With `every` they die of each write, and an act is not over before the last one was died of.
    """

    desk: Desk
    deaths: Path | None = None
    every: bool = True

    def act(
        self, begin: Callable[[Desk], None], comes_about: Callable[[Desk], bool], last_status: State
    ) -> None:
        """Start an operator and, when it is killed by a write of its own, the next one."""
        begin(self.desk)
        before = self.died_of(last_status)
        self.desk.operator.start()

        def is_over() -> bool:
            # An operator may be about to die of the very status by which the act is over.
            died = self.deaths is None or not self.every or self.died_of(last_status) > before
            return self._goes_on() and comes_about(self.desk) and died

        if not holds_within(is_over, LONGEST_ACT):
            raise TimeoutError(f"{begin.__name__} came to nothing.\n{self.desk.story()}")
        self.desk.operator.kill()

    def died_of(self, state: State) -> int:
        """Count the operators that died of a status of that state."""
        told = deaths(self.deaths) if self.deaths is not None else ()
        return sum(each.startswith(f"Specialist dates status {state} ") for each in told)

    def _goes_on(self) -> bool:
        code = self.desk.operator.ended()
        if code is not None:
            assert self.deaths is not None, self.desk.story()
            assert code == -signal.SIGKILL, self.desk.story()
            self.desk.operator.start()
        told = self.desk.status("dates").get("state")
        decided = self.desk.decisions()
        caught_up = told == (decided[-1]["spec"]["to"] if decided else State.PENDING)
        if caught_up:
            # Not before: else a state could be over before any status has told of it.
            self.desk.runner.step()
        return caught_up


def it_is_applied(desk: Desk) -> None:
    desk.apply(
        desk.manifests.suite(), desk.manifests.population(), desk.manifests.specialist("dates", "dates", 0.6)
    )


def it_is_retired(desk: Desk) -> None:
    desk.want("dates", "Retired")


def it_is_wanted_back(desk: Desk) -> None:
    desk.want("dates", "Live")


def it_serves(desk: Desk) -> bool:
    ended = len(desk.runner.names()) == JOBS and not desk.runner.unfinished()
    return ended and desk.states() == {"dates": "Live Serving"} and len(desk.engine.adapters()) == 1


def it_is_away(desk: Desk) -> bool:
    archived = desk.store.is_archived(desk.key("dates"))
    return desk.states() == {"dates": "Retired Retired"} and archived and not desk.engine.adapters()


def whole_life(play: Play) -> Life:
    """Propose, train, evaluate, prove, shadow, live, retire, restore."""
    play.act(it_is_applied, it_serves, State.LIVE)
    play.act(it_is_retired, it_is_away, State.RETIRED)
    play.act(it_is_wanted_back, it_serves, State.LIVE)
    desk = play.desk
    desk.log()  # raises if the chain has a gap, a fork or a wrong digest
    jobs = desk.runner.names()
    assert {n: (desk.runner.starts(n), desk.runner.effects(n)) for n in jobs} == dict.fromkeys(jobs, (1, 1))
    assert "Traceback" not in desk.operator.log()
    log = [timeless(d["spec"]) for d in desk.decisions()]
    return Life(log, end_state(desk), [n.partition("-")[0] for n in jobs], desk.engine.events())


def timeless(value: Any) -> Any:
    """Leave out what goes on with the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in _CLOCK or isinstance(v, dict)}
    if isinstance(value, list):
        return [timeless(each) for each in value]
    return _DATE.sub("a time", value) if isinstance(value, str) else value


@contextmanager
def prepared(
    kinds: Cluster, nursery: Nursery, namespace: str, directory: Path, *options: str
) -> Iterator[Desk]:
    """Open a desk whose jobs advance when the play says so."""
    with open_desk(kinds, nursery, namespace, directory, *options) as desk:
        desk.runner = InMemoryRunner(PLAYBOOK.effect, directory=directory / "state")
        yield desk


@pytest.fixture(scope="module")
def undisturbed(kinds: Cluster, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A life in which nothing was killed."""
    namespace = kinds.create_namespace("undisturbed")
    with prepared(kinds, nursery, namespace, tmp_path_factory.mktemp("calm")) as desk:
        life = whole_life(Play(desk))
    kinds.delete_namespace(namespace)
    return life


@pytest.mark.long
@pytest.mark.parametrize("moment", Moment)
def test_a_life_that_is_cut_off_at_each_of_its_writes_is_the_life_that_is_not(
    kinds: Cluster, nursery: Nursery, namespace: str, tmp_path: Path, undisturbed: Life, moment: Moment
) -> None:
    file = tmp_path / "deaths"
    # One worker, for one write at a time: else a write could be answered while another is died of.
    options = (f"--mortal={moment}:{file}", "--workers=1")
    with prepared(kinds, nursery, namespace, tmp_path, *options) as desk:
        play = Play(desk, file)
        life = whole_life(play)
    writes = deaths(file)
    print(f"killed {moment} each of {len(writes)} writes:", *writes, sep="\n")
    assert [w for w in writes if w.startswith("Decision")] == [
        f"Decision {number} {action}" for number, action in enumerate(LIFE, start=1)
    ]
    assert all(play.died_of(state) for state in STATES)
    assert json.dumps(life.log, indent=1) == json.dumps(undisturbed.log, indent=1)
    assert life == undisturbed


def test_a_life_that_is_cut_off_at_a_handful_of_its_writes_is_the_life_that_is_not(
    kinds: Cluster, nursery: Nursery, namespace: str, tmp_path: Path, undisturbed: Life
) -> None:
    print(f"MODELECOLOGY_CRASH_SEED={SEED} chooses the same writes again")
    chance, file = random.Random(SEED), tmp_path / "deaths"
    moment = chance.choice(tuple(Moment))
    decisions = [f"Decision {number} {action}" for number, action in enumerate(LIFE, start=1)]
    chosen = sorted(chance.sample(decisions, DECISIONS))
    statuses = [f"Specialist dates status {state} " for state in chance.sample(STATES, STATUSES)]
    Path(f"{file}.only").write_text("\n".join((*chosen, *statuses)) + "\n", encoding="utf-8")
    with prepared(kinds, nursery, namespace, tmp_path, f"--mortal={moment}:{file}", "--workers=1") as desk:
        life = whole_life(Play(desk, file, every=False))
    writes = deaths(file)
    print(f"killed {moment} each of {len(writes)} writes:", *writes, sep="\n")
    assert [w for w in writes if w.startswith("Decision")] == chosen
    assert json.dumps(life.log, indent=1) == json.dumps(undisturbed.log, indent=1)
    assert life == undisturbed

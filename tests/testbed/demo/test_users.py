"""How busily the demo's users ask, as the population goes its way."""

from __future__ import annotations

import pytest

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot
from testbed.demo.users import BUSY, TRICKLE, brief, pace_of
from testbed.tally import Line

TASKS = ("dates", "cron")


def _snapshot(**states: State) -> Snapshot:
    data = {"uri": "file:///data", "digest": f"sha256:{'0' * 64}"}
    return Snapshot(
        "desk",
        specialists=tuple(
            Specialist.model_validate(
                {
                    "metadata": {"name": task, "namespace": "desk", "uid": task},
                    "spec": {
                        "populationRef": {"name": "desk"},
                        "contract": {"task": task, "target": 0.5, "owner": "testers"},
                        "source": {"train": {"data": data}},
                    },
                    "status": {"state": state},
                }
            )
            for task, state in states.items()
        ),
    )


def test_without_a_trial_everybody_is_asked_a_little() -> None:
    pace = pace_of(_snapshot(dates=State.LIVE, cron=State.TRAINING), TASKS, 0.0)
    assert (pace.rate, set(pace.shares)) == (TRICKLE, set(TASKS))


@pytest.mark.parametrize("state", [State.SHADOW, State.CANARY])
def test_who_is_on_trial_is_asked_busily_and_nobody_else(state: State) -> None:
    pace = pace_of(_snapshot(dates=state, cron=State.LIVE), TASKS, 0.8)
    assert (pace.rate, set(pace.shares), pace.hurried) == (BUSY, {"dates"}, 0.8)


def test_a_trial_of_a_task_that_nobody_asks_changes_nothing() -> None:
    assert pace_of(_snapshot(french=State.SHADOW), TASKS, 0.0).rate == TRICKLE


def test_a_summary_names_who_answered_and_why() -> None:
    lines = (Line("dates", "generalist", "NoLiveRevision", 3, 0, 0.5), Line("cron", "", "NoReply", 1, 0, 0.1))
    expected = "4 answers: 3 dates by generalist (NoLiveRevision), 1 cron by nobody (NoReply)"
    assert brief(lines) == expected
    assert brief(()) == "no answer"

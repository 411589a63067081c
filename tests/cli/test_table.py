"""The population's table."""

from __future__ import annotations

import pytest

from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import specialist_row
from modelecology.cli.table import STATE_STYLES, render_status

from .desk import NOW, FakeCluster, condition, members, population, rendered, specialist, suite_life
from .golden import golden


@pytest.mark.parametrize("width", [80, 150])
def test_the_table_says_for_each_specialist_what_it_does_or_why_it_ended(width: int) -> None:
    snapshot = FakeCluster().snapshot()
    assert rendered(render_status(snapshot, None, NOW, width), width) == golden(f"status-{width}")


def test_a_population_that_is_not_ready_says_why_above_its_table() -> None:
    broken = population(
        conditions=[condition("Ready", "False", "SuiteNotFound", "EvaluationSuite desk does not exist.")],
        endpoints=[
            {"endpoint": "http://127.0.0.1:8000", "reachable": False, "message": "connection refused"}
        ],
        value=None,
    )
    text = rendered(render_status(Snapshot("team", (broken,)), None, NOW, 120), 120)
    assert "not ready   SuiteNotFound: EvaluationSuite desk does not exist." in text
    assert "engine      http://127.0.0.1:8000 (unreachable: connection refused)" in text
    assert "No specialists yet." in text


def test_a_specialist_of_no_population_is_shown_and_not_lost() -> None:
    lost = specialist("lost", population="nowhere")
    text = rendered(render_status(Snapshot("team", (), (lost,)), None, NOW, 120), 120)
    assert text.startswith("Specialists whose population does not exist")
    assert "lost" in text


def test_what_is_degraded_comes_before_what_is_in_progress() -> None:
    row = specialist_row(
        specialist(
            "cron",
            state="Training",
            progress={"phase": "train", "step": 1, "total": 60},
            conditions=[condition("Degraded", "True", "RunnerUnavailable", "Ray does not answer.")],
        ),
        NOW,
    )
    assert row.doing == "RunnerUnavailable: Ray does not answer."


def test_a_condition_that_names_a_tag_of_the_renderer_is_shown_as_it_is() -> None:
    odd = specialist(
        "odd", conditions=[condition("Ready", "False", "DataInvalid", "[red]line 3[/red] is broken")]
    )
    text = rendered(render_status(Snapshot("team", (population(),), (odd,)), None, NOW, 150), 150)
    assert "DataInvalid: [red]line 3[/red] is broken" in text


def test_an_old_snapshot_says_that_it_may_be_old() -> None:
    snapshot = Snapshot(
        "team", (population(),), members(), ("Specialist x cannot be read.",), "no connection."
    )
    text = rendered(render_status(snapshot, "desk", NOW, 150), 150)
    assert text.endswith("note: Specialist x cannot be read.\nThis may be old: no connection.")


def test_every_state_has_a_style() -> None:
    assert set(STATE_STYLES) == set(State)


@pytest.mark.parametrize(("status", "told"), [("True", True), ("False", False)])
def test_an_exhausted_suite_says_what_fresh_items_would_buy(status: str, told: bool) -> None:
    message = "A new suite needs 1,918 fresh items a task to prove a gain of +0.05 once."
    spent = population(
        conditions=[
            condition("Ready", "True", "Ready"),
            condition("SuiteExhausted", status, "SuiteExhausted", message),
        ],
        suiteLife=suite_life(looks=10, looksLeft=0, nextLevel=0),
    )
    text = rendered(render_status(Snapshot("team", (spent,)), None, NOW, 200), 200)
    end = f": give it fresh items. {message}" if told else ": give it fresh items"
    assert f"looks       10 looks taken, 1 passed, 0 left{end}\n" in text

"""`ledger`, over what a desk with a specialist in every state has left."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.decision import Decision
from modelecology.api.ledger import Ledger
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.cli import app, options
from modelecology.cli.ledger import EARLIER, HELD, OWN, SEALED, By, Sheet, render_ledger, sheet_of, window_of
from modelecology.cli.port import CliError
from modelecology.governance.book import Spent

from .conftest import Run
from .desk import rendered
from .played import PlayedCluster, played

NOTHING = Decimal(0)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> PlayedCluster:
    """The objects of a desk."""
    return played(tmp_path_factory.mktemp("played"))


@pytest.fixture
def population(desk: PlayedCluster) -> Population:
    (found,) = (p for p in desk.populations if p.metadata.name == "desk")
    return found


@pytest.fixture
def log(desk: PlayedCluster) -> tuple[Decision, ...]:
    return desk.decided


@pytest.fixture
def run(desk: PlayedCluster, shell: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the plugin as the shell does; gives its exit code, stdout and stderr."""
    now = max(d.spec.time for d in desk.decided) + timedelta(minutes=1)
    monkeypatch.setattr(options, "connect", lambda _access: replace(desk))
    monkeypatch.setattr(app, "_clock", lambda: now)
    return shell


def amounts(found: Ledger | Spent) -> tuple[Decimal | int, ...]:
    """What is compared: an absent amount is none."""
    return (
        found.cost,
        found.cpu_seconds,
        found.gpu_seconds,
        found.tokens,
        found.resident_gib_hours or NOTHING,
        found.stored_gib_hours or NOTHING,
    )


@pytest.mark.parametrize("by", By)
def test_the_lines_sum_to_the_totals_of_the_populations_status(
    population: Population, log: tuple[Decision, ...], by: By
) -> None:
    sheet = sheet_of(population, log, by)
    assert SEALED not in [row.name for row in sheet.rows]
    assert amounts(sheet.total.spent) == amounts(population.status.ledger)
    assert sheet.total.spent.resident_gib_hours
    assert sheet.total.spent.stored_gib_hours
    assert sheet.until == population.status.ledger.until


def test_each_specialists_line_is_what_its_status_says(
    desk: PlayedCluster, population: Population, log: tuple[Decision, ...]
) -> None:
    rows = {row.name: row for row in sheet_of(population, log, By.SPECIALIST).rows}
    seen = 0
    for specialist in desk.specialists:
        if specialist.metadata.name not in rows:
            continue
        status = specialist.status.ledger
        # A specialist at rest may have been looked at an hour before its population.
        if status.until == population.status.ledger.until:
            assert amounts(rows[specialist.metadata.name].spent) == amounts(status)
            seen += 1
    assert seen > 5


def test_the_four_sums_are_of_the_same_thing(population: Population, log: tuple[Decision, ...]) -> None:
    by = {each: sheet_of(population, log, each) for each in By}
    assert len({amounts(sheet.total.spent) for sheet in by.values()}) == 1
    revisions = [row.name for row in by[By.REVISION].rows]
    assert len([name for name in revisions if name.startswith("older-")]) == 2
    actions = [row.name for row in by[By.ACTION].rows]
    assert {"Evaluate", "Retry", HELD, OWN} <= set(actions)
    assert by[By.SPECIALIST].total.decisions == by[By.ACTION].total.decisions


def test_a_lineage_holds_also_what_an_object_of_the_name_spent_before(
    population: Population, log: tuple[Decision, ...]
) -> None:
    """As if the first decisions about `older` had been about an object that was deleted since."""
    own = [d for d in log if d.spec.subject.specialist == "older"]
    first = own[0].spec.subject.revision
    renamed = tuple(
        d
        if d not in own or d.spec.subject.revision != first
        else d.model_copy(
            update={
                "spec": d.spec.model_copy(
                    update={"subject": d.spec.subject.model_copy(update={"uid": "earlier"})}
                )
            }
        )
        for d in log
    )
    by = {each: {row.name: row for row in sheet_of(population, renamed, each).rows} for each in By}
    parts = [by[By.SPECIALIST]["older"], by[By.SPECIALIST]["older" + EARLIER]]
    assert by[By.LINEAGE]["older"].spent == parts[0].spent + parts[1].spent
    assert any(name.endswith(EARLIER) for name in by[By.REVISION])


def test_one_name_is_summed_alone(population: Population, log: tuple[Decision, ...]) -> None:
    whole = {row.name: row for row in sheet_of(population, log, By.SPECIALIST).rows}
    (alone,) = sheet_of(population, log, By.SPECIALIST, name="dates").rows
    assert alone == whole["dates"]
    by_action = sheet_of(population, log, By.ACTION, name="dates")
    assert amounts(by_action.total.spent) == amounts(alone.spent)


def test_a_window_cuts_what_was_charged_and_what_is_held(
    population: Population, log: tuple[Decision, ...]
) -> None:
    until = population.status.ledger.until
    assert until is not None
    all_of_it = sheet_of(population, log, By.SPECIALIST, start=log[0].spec.time - timedelta(hours=1))
    assert all_of_it.total.decisions >= len(log)
    late = sheet_of(population, log, By.SPECIALIST, start=until)
    assert late.total.spent.cost < all_of_it.total.spent.cost
    nothing = sheet_of(population, log, By.SPECIALIST, start=log[-1].spec.time + timedelta(hours=1))
    assert nothing.total.spent.cpu_seconds == 0
    assert nothing.total.decisions == 0


def test_what_older_decisions_charged_that_were_pruned_has_a_line_of_its_own(
    population: Population, log: tuple[Decision, ...]
) -> None:
    sheet = sheet_of(population, log[20:], By.SPECIALIST)
    assert sheet.rows[-1].name == SEALED
    assert sheet.rows[-1].spent.cpu_seconds == sum(d.spec.cost.cpu_seconds for d in log[:20])
    assert sheet.total.spent.cpu_seconds == population.status.ledger.cpu_seconds


def test_a_population_of_an_older_operator_is_summed_from_its_decisions(
    population: Population, log: tuple[Decision, ...]
) -> None:
    old = population.model_copy(update={"status": population.status.model_copy(update={"own_ledger": None})})
    (own,) = (row for row in sheet_of(old, log, By.SPECIALIST).rows if row.name == OWN)
    told = [d.spec.account.population for d in log if d.spec.account and d.spec.account.population]
    assert own.spent.cpu_seconds == sum(each.cpu_seconds for each in told)


def test_the_table_names_its_sums_and_the_hour(population: Population, log: tuple[Decision, ...]) -> None:
    sheet = sheet_of(population, log, By.SPECIALIST)
    screen = rendered(render_ledger((sheet, sheet), By.SPECIALIST), 160).split("\n")
    assert screen[0].startswith("desk; what is held is counted until 2026-03-")
    assert screen[1].split("  ")[0] == "SPECIALIST"
    assert [line for line in screen if line.startswith("total")]
    empty = rendered(render_ledger((Sheet("empty", (), None),), By.ACTION), 100)
    assert empty.split("\n")[0] == "empty"


def test_the_command_writes_a_table_json_and_csv(run: Run, population: Population) -> None:
    code, out, err = run("ledger")
    assert (code, err) == (0, "")
    assert OWN in out
    record: dict[str, Any] = json.loads(run("ledger", "--by", "revision", "-o", "json")[1])
    (found,) = (p for p in record["populations"] if p["name"] == "desk")
    assert Decimal(found["total"]["cost"]) == population.status.ledger.cost
    assert (record["by"], record["since"]) == ("revision", None)
    lines = list(csv.DictReader(io.StringIO(run("ledger", "--by", "action", "-o", "csv")[1])))
    own = [Decimal(line["cost"]) for line in lines if line["population"] == "desk"]
    assert sum(own) == population.status.ledger.cost


def test_the_command_takes_a_name_and_a_window(run: Run) -> None:
    record = json.loads(run("ledger", "dates", "--window", "1h", "-o", "json")[1])
    (only,) = record["populations"]
    assert [row["name"] for row in only["rows"]] in ([], ["dates"])
    assert record["since"].startswith("2026-03-")
    code, _, err = run("ledger", "--window", "soon")
    assert code == 1
    assert err == "Error: 'soon' is no length of time.\nWrite it like 90s, 30m or 168h.\n"


def test_without_a_population_there_is_nothing_to_sum(
    run: Run, desk: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare: tuple[Specialist, ...] = ()
    monkeypatch.setattr(options, "connect", lambda _access: replace(desk, populations=(), specialists=bare))
    assert run("ledger")[1] == "No populations in namespace d.\n"


def test_a_window_is_a_length_of_time() -> None:
    assert window_of(None) is None
    assert window_of("168h") == timedelta(hours=168)
    with pytest.raises(CliError):
        window_of("0")

"""`what-if` weighs as the operator does, from what the cluster says, and touches nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from modelecology.api.population import ClassifierStatus, ConfusionStatus, Population
from modelecology.cli import options
from modelecology.cli.port import CliError
from modelecology.cli.weighing import Terms, terms_of
from modelecology.cli.what_if import Changes, changed, changes, render_what_if, weigh
from modelecology.governance.portfolio import leave_one_out

from .conftest import Run
from .desk import FakeCluster, population, rendered, suite

GIB = 2**30
DATES, CRON, OLD = f"dates-{'a' * 12}", f"cron-nightly-{'b' * 12}", f"dates-old-{'c' * 12}"


def route(task: str, quality: float, **more: Any) -> dict[str, Any]:
    return {
        "task": task,
        "quality": quality,
        "qualityLow": round(quality - 0.05, 3),
        "qualityHigh": round(quality + 0.05, 3),
        "tokens": 12.0,
        "seconds": 0.5,
    } | more


def member(name: str, task: str, quality: float, size: int, **more: Any) -> dict[str, Any]:
    worth = {"low": "1", "point": "2", "high": "3"}
    return route(task, quality, servedName=name, residentBytes=size, **worth) | more


def desk(**status: Any) -> Population:
    known = {
        "routes": [route("cron", 0.1), route("dates", 0.1)],
        "members": [
            member(
                DATES,
                "dates",
                0.8,
                GIB,
                over=OLD,
                lead={"low": 0.2, "high": 0.4, "confidence": 0.95},
                reviewCpuSeconds="60",
            ),
            member(CRON, "cron", 0.6, GIB, tokens=30.0),
            member(OLD, "dates", 0.5, GIB // 2),
        ],
    }
    return population(**known | status)


@pytest.fixture
def terms() -> Terms:
    return terms_of(desk(), suite())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster(populations=(desk(),))
    monkeypatch.setattr(options, "connect", lambda _access: found)
    return found


@pytest.fixture
def run(cluster: FakeCluster, shell: Run) -> Run:
    """Run what-if as the shell does; gives its exit code, stdout and stderr."""
    return lambda *arguments: shell("what-if", *arguments)


def test_the_terms_are_those_of_status_suite_and_policy(terms: Terms) -> None:
    dates = terms.standing.members[0]
    assert (dates.served_name, dates.quality, dates.low, dates.high) == (DATES, 0.8, 0.75, 0.85)
    assert dates.lead is not None
    assert (dates.over, dates.lead.low, dates.review.cpu_seconds) == (OLD, 0.2, Decimal(60))
    assert {m.task for m in terms.standing.generalist} == {"dates", "cron"}
    assert (terms.policy.requests_per_day, terms.capacity.slots, terms.capacity.memory) == (1000, 4, None)


def test_without_a_change_both_sides_are_what_is(terms: Terms) -> None:
    now, then = weigh(terms), weigh(changed(terms, Changes()))
    assert now == then
    worth = leave_one_out(terms.population, terms.tasks, terms.policy)
    assert {line.name: line.worth for line in now.lines} == worth
    # 30,000 requests: dates 0.3 x 0.02 x 0.7, cron 0.2 x 0.05 x 0.5, and 2.5 GiB for 720 h.
    assert now.value == Decimal(126 + 150) - Decimal("2.5") * Decimal("7.2")
    assert {line.name: line.fate for line in now.lines} == {
        DATES: "stays",
        CRON: "stays",
        OLD: "retirement would be proposed: NegativeValue",
    }
    assert now.best.kept == (CRON, DATES)


def test_prices_traffic_and_worth_are_laid_over_the_terms(terms: Terms) -> None:
    asked = changes(["gibHour=1.5", "tokenMillion=2"], ["dates=0.6"], ["cron=0.5"], [], [])
    after = changed(terms, asked)
    assert (after.policy.prices.gib_hour, after.policy.prices.token_million) == (Decimal("1.5"), Decimal(2))
    assert {t.name: (t.traffic, t.worth) for t in after.tasks} == {
        "dates": (0.6, Decimal("0.02")),
        "cron": (0.2, Decimal("0.5")),
        "everyday": (0.0, Decimal(0)),
    }
    fates = {line.name: line.fate for line in weigh(after).lines}
    assert fates[DATES] == "retirement would be proposed: NegativeValue"
    assert fates[CRON] == "stays"
    assert terms == terms_of(desk(), suite())


def test_what_a_classifier_leads_astray_is_charged_as_the_operator_charges_it() -> None:
    body = desk()
    row = ConfusionStatus(
        task="cron", right=95, elsewhere=5, strangers=0, unsaid=0, accuracy=0.9, routed=True, misrouting=0.05
    )
    status = body.status.model_copy(
        update={"classifier": ClassifierStatus(mark="0123456789abcdef", tasks=(row,))}
    )
    found = terms_of(body.model_copy(update={"status": status}), suite())
    assert {t.name: t.misrouting for t in found.tasks} == {"dates": 0.0, "cron": 0.05, "everyday": 0.0}
    assert weigh(found).value < weigh(terms_of(body, suite())).value


def test_a_smaller_capacity_says_who_stays(terms: Terms) -> None:
    one = weigh(changed(terms, changes([], [], [], ["adapters=1"], [])))
    assert {line.name: line.fate for line in one.lines}[DATES] == "left out of the best set"
    assert one.best.kept == (CRON,)
    none = weigh(changed(terms, changes([], [], [], ["memory=100Mi"], [])))
    assert none.best.kept == ()
    both = changes([], [], [], ["adapters=3", "memory=1.5Gi"], [])
    assert (both.adapters, both.memory) == (3, "1.5Gi")
    tight = weigh(changed(terms, both))
    assert tight.best.kept == (CRON, OLD)
    # Beside a better one it is worth nothing; where that one has no place, it is.
    assert {line.name: line.fate for line in tight.lines}[OLD] == (
        "retirement would be proposed: NegativeValue, but the best set keeps it"
    )


@pytest.mark.parametrize("name", ["cron-nightly", CRON])
def test_a_member_is_left_out_by_its_specialists_or_its_served_name(terms: Terms, name: str) -> None:
    after = weigh(changed(terms, changes([], [], [], [], [name])))
    assert {line.name for line in after.lines} == {DATES, OLD}


def test_one_member_less_shows_what_the_others_are_worth_then(terms: Terms) -> None:
    after = {line.name: line for line in weigh(changed(terms, changes([], [], [], [], ["dates"]))).lines}
    assert after[OLD].fate == "stays"
    assert after[OLD].worth.point == Decimal(72) - Decimal("3.6")


@pytest.mark.parametrize(
    ("arguments", "said", "remedy"),
    [
        (("--price", "gold=1"), "--price gold is not known.", "gibHour"),
        (("--price", "gibHour=-1"), "--price gibHour cannot be '-1'.", "0 or more"),
        (("--price", "gibHour"), "--price takes NAME=VALUE, not 'gibHour'.", "--price name=1"),
        (("--traffic", "dates=1.5"), "--traffic dates cannot be '1.5'.", "from 0 to 1"),
        (("--traffic", "dates=x"), "--traffic dates cannot be 'x'.", "from 0 to 1"),
        (("--traffic", "dates=0.9"), "would add up to 1.1.", "1 together at most"),
        (("--traffic", "everyday=0.1"), "The suite has no task 'everyday'.", "cron, dates"),
        (("--worth", "poems=1"), "The suite has no task 'poems'.", "cron, dates"),
        (("--capacity", "adapters=0"), "--capacity adapters cannot be '0'.", "from 1 on"),
        (("--capacity", "memory=much"), "--capacity memory cannot be 'much'.", "2Gi"),
        (("--capacity", "slots=2"), "--capacity slots is not known.", "adapters, memory"),
        (("--without", "nobody"), "nobody is not live.", DATES),
    ],
)
def test_what_cannot_be_is_refused_by_its_option(
    run: Run, arguments: tuple[str, ...], said: str, remedy: str
) -> None:
    code, out, err = run("desk", *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert remedy in err


def test_what_is_not_measured_or_not_there_is_named() -> None:
    with pytest.raises(CliError, match="Nothing of desk is measured on its suite yet"):
        terms_of(population(), suite())
    with pytest.raises(CliError, match="The suite desk of desk does not exist"):
        terms_of(desk(), None)


def test_the_screen_shows_both_sides_in_one_place(run: Run, cluster: FakeCluster) -> None:
    code, out, err = run("desk", "--price", "gibHour=0.1", "--without", "cron-nightly", "--hints")
    assert code == 0
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "desk: what if prices.gibHour 0.1; without cron-nightly"
    assert lines[1] == "In the policy's currency, over 30d, above the generalist alone; bounds at 95 %."
    shown = {line.split()[0]: " ".join(line.split()) for line in lines[2:] if line}
    assert shown["value"] == "value 258 18"
    assert shown[CRON] == f"{CRON} cron 142.8 [112.8, 172.8] - taken out"
    assert shown[OLD].endswith("retirement would be proposed: NegativeValue")
    assert len(lines) <= 24
    assert err.startswith("Next: change spec.policy")
    assert cluster.annotations == {}


def test_programs_get_what_the_screen_has(run: Run) -> None:
    code, out, _ = run("desk", "--capacity", "adapters=1", "-o", "json")
    record = json.loads(out)
    assert code == 0
    assert (record["population"], record["horizon"], record["changes"]) == (
        "desk",
        "720h",
        ["capacity.adapters 1"],
    )
    assert record["now"]["value"] == "258"
    assert record["then"]["best"] == {
        "kept": [CRON],
        "leftOut": [DATES, OLD],
        "value": "142.8",
        "exact": True,
    }
    assert [m["servedName"] for m in record["then"]["members"]] == [CRON, DATES, OLD]


def test_an_unknown_population_names_the_known_ones(run: Run) -> None:
    assert "Populations there: desk." in run("office")[2]


def test_a_population_without_live_specialists_says_so(terms: Terms) -> None:
    bare = terms_of(desk(members=[]), suite())
    found = weigh(bare)
    text = rendered(render_what_if("desk", bare, Changes(), found, found), 100)
    assert text.startswith("desk: what if nothing is changed\n")
    assert text.endswith("No live specialists.")
    assert (found.value, found.best.kept) == (Decimal(0), ())

"""Requests go where a Decision and a proof say, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.vocabulary import MatchBy, State
from modelecology.governance.facts import RevisionRecord, Scorecard
from modelecology.governance.log import LogState, SpecialistRecord
from modelecology.governance.routing import (
    MOST_RULES,
    RULES_IN_ORDER,
    Contract,
    Match,
    Routes,
    Rule,
    TaskRoute,
    routes,
)

from .scenes import HOUR, NOW, record

ONE, TWO = "http://e-1:8000", "http://e-2:8000"
TASKS = ("cron", "dates", "french")


def revision(
    name: str, state: State, task: str = "dates", score: float = 0.8, age: int = 1
) -> RevisionRecord:
    """A revision, whose served name is `<name>-<12 letters>`."""
    base = replace(record(state), entered=NOW - age * HOUR)
    number = name.rpartition("/")[2] * 12
    return replace(
        base,
        revision=number[:12],
        served_name=f"{name.partition('/')[0]}-{number[:12]}",
        scorecard=Scorecard(task, score, "generalist", 0.1, None, 40),
    )


def log_of(**revisions: tuple[RevisionRecord, ...]) -> LogState:
    """A log of Specialists; the last live revision of each is its newest one."""
    found = {}
    for name, each in revisions.items():
        live = [r.revision for r in each if r.state is State.LIVE]
        known = SpecialistRecord(name, f"u-{name}", {r.revision: r for r in each})
        found[f"u-{name}"] = replace(known, live=live[-1] if live else None)
    return LogState(sequence=41, specialists=found)


def contracts(**tasks: str) -> tuple[Contract, ...]:
    return tuple(Contract(name, f"u-{name}", task) for name, task in tasks.items())


def proved(*names: str) -> frozenset[str]:
    return frozenset(names)


LIVE, SHADOW = revision("dates/a", State.LIVE), revision("dates/b", State.SHADOW)
A, B, C = (f"dates-{letter * 12}" for letter in "abc")


def test_a_task_goes_to_the_live_revision_that_every_engine_has_proved() -> None:
    found = routes(log_of(dates=(LIVE,)), contracts(dates="dates"), {ONE: proved(A), TWO: proved(A)}, 0.0)
    assert found == Routes(41, (ONE, TWO), (TaskRoute("dates", "dates", A),), ())


def test_what_is_live_and_not_proved_gets_no_request() -> None:
    found = routes(log_of(dates=(LIVE,)), contracts(dates="dates"), {ONE: proved(), TWO: proved()}, 0.0)
    assert found == Routes(41, (ONE, TWO), (TaskRoute("dates", "dates"),), ())


def test_an_engine_that_has_not_proved_what_the_others_have_gets_no_request() -> None:
    found = routes(log_of(dates=(LIVE,)), contracts(dates="dates"), {ONE: proved(), TWO: proved(A)}, 0.0)
    assert (found.engines, found.routes[0].live) == ((TWO,), A)


def test_without_an_engine_that_answers_nothing_is_routed() -> None:
    found = routes(log_of(dates=(LIVE,)), contracts(dates="dates"), {}, 0.5)
    assert (found.engines, found.routes) == ((), (TaskRoute("dates", "dates"),))


def test_a_shadow_gets_its_share_where_every_engine_has_proved_it() -> None:
    log, proofs = log_of(dates=(LIVE, SHADOW)), {ONE: proved(A, B), TWO: proved(A, B)}
    (found,) = routes(log, contracts(dates="dates"), proofs, 0.25).routes
    assert (found.live, found.shadow, found.share) == (A, B, 0.25)
    (off,) = routes(log, contracts(dates="dates"), proofs, 0.0).routes
    assert (off.shadow, off.share) == (None, 0.0)
    (half,) = routes(log, contracts(dates="dates"), {**proofs, TWO: proved(A)}, 0.25).routes
    assert (half.live, half.shadow) == (A, None)


def test_of_several_shadows_the_oldest_gets_the_requests() -> None:
    later = revision("dates/c", State.SHADOW, age=0)
    log = log_of(dates=(LIVE, later, SHADOW))
    (found,) = routes(log, (), {ONE: proved(A, B, C)}, 1.0).routes
    assert found.shadow == B


def test_of_several_live_revisions_of_a_task_the_best_serves_and_the_rest_may_be_asked_for_by_name() -> None:
    better = revision("plain/c", State.LIVE, score=0.9)
    log, proofs = log_of(dates=(LIVE,), plain=(better,)), {ONE: proved(A, "plain-" + "c" * 12)}
    (found,) = routes(log, contracts(dates="dates", plain="dates"), proofs, 0.0).routes
    assert found == TaskRoute("dates", "plain", "plain-" + "c" * 12, pinned=(A,))


def test_a_newer_revision_goes_before_an_older_one_whatever_their_scores() -> None:
    newer = revision("dates/c", State.LIVE, score=0.7)
    (found,) = routes(log_of(dates=(LIVE, newer)), (), {ONE: proved(A, C)}, 0.0).routes
    assert (found.live, found.pinned) == (C, (A,))


def test_what_is_quarantined_is_named_and_gets_nothing_though_engines_hold_it() -> None:
    bad = replace(LIVE, state=State.QUARANTINED)
    found = routes(log_of(dates=(bad,)), contracts(dates="dates"), {ONE: proved(A)}, 1.0)
    assert found == Routes(41, (ONE,), (TaskRoute("dates", "dates"),), (A,))


def test_a_specialist_that_changed_its_contract_keeps_its_name_where_it_serves() -> None:
    found = routes(log_of(dates=(LIVE,)), contracts(dates="cron"), {ONE: proved(A)}, 0.0)
    assert found.routes == (TaskRoute("cron"), TaskRoute("dates", "dates", A))


def test_a_log_of_thousands_gives_no_more_than_a_table_takes() -> None:
    many = {f"s{n}": (replace(revision(f"s{n}/a", State.QUARANTINED)),) for n in range(1100)}
    claims = contracts(**{f"s{n}": f"t{n}" for n in range(300)})
    found = routes(log_of(**many), claims, {ONE: proved()}, 0.0)
    assert (len(found.quarantined), len(found.routes)) == (1024, 256)


NAMES = ("dates", "plain", "twin")
REVISIONS = st.lists(
    st.builds(
        revision,
        st.just("x/a"),
        st.sampled_from(State),
        st.sampled_from(TASKS),
        st.sampled_from((0.2, 0.5, 0.9)),
        st.integers(0, 3),
    ),
    max_size=4,
)


@st.composite
def populations(draw: st.DrawFn) -> tuple[LogState, tuple[Contract, ...], dict[str, frozenset[str]], float]:
    revisions = {}
    for name in NAMES:
        drawn = draw(REVISIONS)
        letters = draw(st.permutations("abcd"))
        revisions[name] = tuple(
            replace(r, revision=letter * 12, served_name=f"{name}-{letter * 12}")
            for r, letter in zip(drawn, letters, strict=False)
        )
    log = log_of(**revisions)
    names = sorted(r.served_name for each in revisions.values() for r in each)
    some = st.frozensets(st.sampled_from(names)) if names else st.just(frozenset[str]())
    engines = draw(st.lists(st.sampled_from((ONE, TWO, "http://e-3:8000")), unique=True))
    claims = draw(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(TASKS)), unique_by=lambda c: c[0])
    )
    share = draw(st.sampled_from((0.0, 0.25, 1.0)))
    return log, contracts(**dict(claims)), {e: draw(some) for e in engines}, share


@given(populations())
def test_whatever_the_log_says_only_what_is_promoted_and_proved_is_routed(
    drawn: tuple[LogState, tuple[Contract, ...], dict[str, frozenset[str]], float],
) -> None:
    log, claims, proofs, share = drawn
    found = routes(log, claims, proofs, share)
    records = {r.served_name: r for s in log.specialists.values() for r in s.revisions.values()}
    assert set(found.engines) <= set(proofs)
    assert bool(found.engines) is bool(proofs)
    for route in found.routes:
        for name in (*route.pinned, *([route.live] if route.live else [])):
            assert records[name].state is State.LIVE
            card = records[name].scorecard
            assert card is not None
            assert card.task == route.task
            assert all(name in proofs[e] for e in found.engines)
        if route.shadow is not None:
            assert records[route.shadow].state is State.SHADOW
            assert all(route.shadow in proofs[e] for e in found.engines)
        assert route.share == (share if route.shadow is not None else 0.0)
    assert set(found.quarantined) == {n for n, r in records.items() if r.state is State.QUARANTINED}
    tasks = [route.task for route in found.routes]
    named = [route.specialist for route in found.routes if route.specialist is not None]
    assert len(set(tasks)) == len(tasks)
    assert len(set(named)) == len(named)
    assert {c.task for c in claims} <= set(tasks)


@given(populations())
def test_a_name_leads_to_nobody_else(
    drawn: tuple[LogState, tuple[Contract, ...], dict[str, frozenset[str]], float],
) -> None:
    log, claims, proofs, share = drawn
    for route in routes(log, claims, proofs, share).routes:
        if route.specialist is not None and route.live is not None:
            assert route.live.startswith(f"{route.specialist}-")


@given(populations())
def test_the_order_of_what_is_told_does_not_matter(
    drawn: tuple[LogState, tuple[Contract, ...], dict[str, frozenset[str]], float],
) -> None:
    log, claims, proofs, share = drawn
    turned = replace(log, specialists=dict(reversed(tuple(log.specialists.items()))))
    other = dict(reversed(tuple(proofs.items())))
    assert routes(turned, tuple(reversed(claims)), other, share) == routes(log, claims, proofs, share)


def claiming(*contracts: Contract) -> tuple[Rule, ...]:
    """Give the rules of a table of these contracts."""
    return routes(log_of(), contracts, {}, 0.0).rules


def test_what_is_said_goes_before_what_is_found_and_then_the_specialists_by_name() -> None:
    header, key = Match(MatchBy.HEADER, "a", "x-kind"), Match(MatchBy.METADATA, "a", "kind")
    regex, keyword, other = Match(MatchBy.REGEX, "d.te"), Match(MatchBy.KEYWORD, "date"), "other"
    later = Contract("later", "u-1", "cron", (keyword, regex, key, header))
    earlier = Contract(
        "earlier", "u-2", "dates", (Match(MatchBy.KEYWORD, other), Match(MatchBy.REGEX, other))
    )
    assert claiming(later, earlier) == (
        Rule("cron", header),
        Rule("cron", key),
        Rule("dates", Match(MatchBy.REGEX, other)),
        Rule("cron", regex),
        Rule("dates", Match(MatchBy.KEYWORD, other)),
        Rule("cron", keyword),
    )


def test_rules_of_one_kind_and_specialist_stay_as_they_were_written() -> None:
    written = tuple(Match(MatchBy.KEYWORD, word) for word in ("b", "a", "c"))
    assert [rule.match for rule in claiming(Contract("dates", "u", "dates", written))] == list(written)


def test_of_two_rules_that_match_the_same_requests_the_first_is_kept() -> None:
    one = Contract("a", "u-a", "dates", (Match(MatchBy.KEYWORD, "Date"), Match(MatchBy.HEADER, "v", "X-A")))
    two = Contract("b", "u-b", "cron", (Match(MatchBy.KEYWORD, "date"), Match(MatchBy.HEADER, "v", "x-a")))
    assert claiming(one, two) == (
        Rule("dates", Match(MatchBy.HEADER, "v", "X-A")),
        Rule("dates", Match(MatchBy.KEYWORD, "Date")),
    )
    # Values of headers and patterns are read as they are written.
    upper, lower = Match(MatchBy.REGEX, "A"), Match(MatchBy.REGEX, "a")
    assert len(claiming(Contract("a", "u", "dates", (upper, lower)))) == 2


def test_a_table_takes_so_many_rules_and_words_are_left_out_first() -> None:
    words = tuple(Match(MatchBy.KEYWORD, f"k{n}") for n in range(MOST_RULES))
    header = Match(MatchBy.HEADER, "v", "x")
    contracts = Contract("a", "u-a", "dates", words), Contract("b", "u-b", "cron", (header,))
    found = routes(log_of(), contracts, {}, 0.0)
    assert (len(found.rules), found.left_out) == (MOST_RULES, 1)
    assert found.rules[0] == Rule("cron", header)
    assert found.rules[-1].match == words[-2]


MATCHES = st.lists(
    st.builds(Match, st.sampled_from(MatchBy), st.sampled_from("aAb"), st.sampled_from((None, "x", "X"))),
    max_size=4,
)
CLAIMS = st.lists(
    st.builds(
        Contract,
        st.sampled_from(NAMES),
        st.sampled_from(("u-1", "u-2")),
        st.sampled_from(TASKS),
        MATCHES.map(tuple),
    ),
    max_size=4,
    unique_by=lambda contract: (contract.specialist, contract.uid),
)


@given(CLAIMS)
def test_whatever_contracts_say_their_rules_lead_to_a_task_of_the_table_in_order(
    contracts: list[Contract],
) -> None:
    found = routes(log_of(), contracts, {}, 0.0)
    said = {Rule(c.task, match) for c in contracts for match in c.match}
    assert set(found.rules) <= said
    assert {rule.task for rule in found.rules} <= {route.task for route in found.routes}
    kinds = [RULES_IN_ORDER.index(rule.match.by) for rule in found.rules]
    assert kinds == sorted(kinds)
    assert len({rule.match for rule in found.rules}) == len(found.rules)
    # Whatever was left out has one before it that takes the same requests.
    for rule in said - set(found.rules):
        assert any(
            kept.match.by is rule.match.by
            and kept.match.value.lower() == rule.match.value.lower()
            and (kept.match.name or "").lower() == (rule.match.name or "").lower()
            for kept in found.rules
        )
    turned = routes(log_of(), reversed(contracts), {}, 0.0)
    assert turned.rules == found.rules


def test_a_pinned_revision_is_asked_by_name_alone_of_engines_that_have_both() -> None:
    newer = revision("dates/b", State.LIVE, score=0.7, age=0)
    log = log_of(dates=(LIVE, newer))
    both = routes(log, (), {ONE: proved(A, B), TWO: proved(A, B)}, 0.0)
    assert both.routes == (TaskRoute("dates", "dates", B, pinned=(A,)),)
    half = routes(log, (), {ONE: proved(A, B), TWO: proved(B)}, 0.0)
    assert (half.engines, half.routes) == ((ONE,), both.routes)


def test_a_pinned_revision_stands_in_while_no_engine_has_the_newer_one() -> None:
    newer = revision("dates/b", State.LIVE, age=0)
    (found,) = routes(log_of(dates=(LIVE, newer)), (), {ONE: proved(A)}, 0.0).routes
    assert (found.live, found.pinned) == (A, ())


def test_a_pinned_revision_of_another_task_takes_none_of_its_requests() -> None:
    moved = revision("dates/b", State.LIVE, task="cron", age=0)
    cron, dates = routes(log_of(dates=(LIVE, moved)), (), {ONE: proved(A, B)}, 0.0).routes
    assert (cron.live, cron.specialist) == (B, "dates")
    assert (dates.live, dates.specialist, dates.pinned) == (None, None, (A,))


def test_what_is_pinned_serves_no_task_once_nothing_of_its_specialist_does() -> None:
    log = log_of(dates=(LIVE,))
    beside = replace(log.specialists["u-dates"], live=None)
    (found,) = routes(replace(log, specialists={"u-dates": beside}), (), {ONE: proved(A)}, 0.0).routes
    assert (found.live, found.pinned) == (None, (A,))


def test_of_engines_that_have_one_each_the_one_with_what_serves_is_chosen() -> None:
    log = log_of(dates=(LIVE, revision("dates/b", State.LIVE, age=0)))
    for one, two in ((A, B), (B, A)):
        found = routes(log, (), {ONE: proved(one), TWO: proved(two)}, 0.0)
        assert (found.engines, found.routes[0].live) == ((ONE if one == B else TWO,), B)

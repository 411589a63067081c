"""Where requests go: from the log and from what engines have proved, and from nothing else. Pure.

A task goes to a revision that a Decision has promoted and that the engines have proved to be resident. What
is wrong, unproven or gone is not in the table at all; what is quarantined is named, so that no gateway sends
it anything whatever else it believes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from modelecology.api.vocabulary import MatchBy, State

from .facts import RevisionRecord
from .log import LogState, SpecialistRecord

MOST_ROUTES = 256
MOST_PINNED = 16
MOST_QUARANTINED = 1024
MOST_RULES = 256
RULES_IN_ORDER = (MatchBy.HEADER, MatchBy.METADATA, MatchBy.REGEX, MatchBy.KEYWORD, MatchBy.EXAMPLE)
"""What is said on purpose goes before what is found in a text, a pattern before a word, a likeness last."""

Proofs = Mapping[str, frozenset[str]]
"""By engine that answers, the served names that it has proved to hold."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a request must have to be of a contract's task; `name` is the header's or the metadata's key."""

    by: MatchBy
    value: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What a Specialist claims today, whether or not anything of it serves."""

    specialist: str
    uid: str
    task: str
    match: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Sends what matches to a task; the first rule that matches a request decides."""

    task: str
    match: Match


@dataclass(frozen=True, slots=True)
class TaskRoute:
    """How one task is served; all revisions by their served names."""

    task: str
    specialist: str | None = None
    live: str | None = None
    shadow: str | None = None
    share: float = 0.0  # of the task's requests, that are copied to the shadow
    canary: str | None = None
    percent: int = 0  # of the task's users, whom the canary answers
    pinned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routes:
    """Where the requests of one population go, as of one decision."""

    version: int
    engines: tuple[str, ...]  # those that hold all that the routes name; empty where none answers
    routes: tuple[TaskRoute, ...]
    quarantined: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    left_out: int = 0  # rules for which a table has no room


@dataclass(frozen=True, slots=True)
class _Serving:
    """A live revision."""

    record: RevisionRecord
    specialist: str
    task: str
    score: float
    current: bool  # its Specialist has no newer one that is live
    routed: bool  # the task's requests may go to it; else only those that name it


def routes(
    log: LogState,
    contracts: Iterable[Contract],
    proofs: Proofs,
    sample: float,
    percent: Callable[[RevisionRecord], int] = lambda _: 0,
) -> Routes:
    """Put the routes together; `sample` is the share of a task's requests that its shadow gets.

    `percent` says how many of the users a canary answers in the step that it is in.

    One task has one live revision, the best by its scorecard. Others that are live are asked by name alone:
    a pinned revision that a newer one has replaced stands in for it only while engines lack the newer one.
    """
    live = tuple(_live(log))
    serves = frozenset(each.record.served_name for each in live if each.current)
    engines, proved = _chosen(proofs, frozenset(each.record.served_name for each in live), serves)
    serving = [each for each in live if each.record.served_name in proved]
    shadows = _on_trial(log, State.SHADOW, proofs, engines) if sample > 0 else {}
    canaries = _on_trial(log, State.CANARY, proofs, engines)
    wanted = sorted(contracts, key=lambda c: (c.specialist, c.uid))
    tasks = sorted({c.task for c in wanted} | {s.task for s in serving})[:MOST_ROUTES]
    found, named = [], set[str]()
    for task in tasks:
        own = sorted((s for s in serving if s.task == task), key=_rank, reverse=True)
        best = next((s for s in own if s.routed), None)
        pinned = tuple(sorted(s.record.served_name for s in [s for s in own if s is not best][:MOST_PINNED]))
        route = TaskRoute(task, pinned=pinned)
        if best is not None:
            # A name leads to one task only: that of the newest revision, where an older one serves another.
            name = best.specialist if best.specialist not in named else None
            route = replace(route, specialist=name, live=best.record.served_name)
            named |= {best.specialist}
        if task in shadows:
            route = replace(route, shadow=shadows[task].served_name, share=sample)
        if task in canaries:
            canary = canaries[task]
            route = replace(route, canary=canary.served_name, percent=percent(canary))
        found.append(route)
    lanes = tuple(_with_names(found, wanted, named))
    rules = in_order(c for c in wanted if c.task in tasks)
    left_out = max(0, len(rules) - MOST_RULES)
    return Routes(log.sequence, engines, lanes, quarantined(log), rules[:MOST_RULES], left_out)


def _rank(serving: _Serving) -> tuple[bool, float, str]:
    return serving.current, serving.score, serving.record.served_name


def _live(log: LogState) -> Iterator[_Serving]:
    for specialist in log.specialists.values():
        for record in specialist.in_state(State.LIVE):
            if record.scorecard is not None:
                card, current = record.scorecard, record.revision == specialist.live
                routed = current or _task_of(specialist, specialist.live) == card.task
                yield _Serving(record, specialist.name, card.task, card.score, current, routed)


def _task_of(specialist: SpecialistRecord, revision: str | None) -> str | None:
    card = specialist.revisions[revision].scorecard if revision is not None else None
    return card.task if card is not None else None


def _chosen(
    proofs: Proofs, live: frozenset[str], serves: frozenset[str]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Choose the engines that requests go to, and the live revisions that each of them has proved.

    They are all that hold what the fullest one holds, above all of what serves a task: one that came back
    and has proved nothing yet, or refuses an adapter, gets no request, and keeps the others from none.
    """
    held = {engine: names & live for engine, names in proofs.items()}

    def fullness(item: tuple[str, frozenset[str]]) -> tuple[int, int, str]:
        return len(item[1] & serves), len(item[1]), item[0]

    fullest = max(held.items(), key=fullness, default=("", frozenset[str]()))[1]
    return tuple(sorted(e for e, names in held.items() if names >= fullest)), fullest


def _on_trial(
    log: LogState, state: State, proofs: Proofs, engines: tuple[str, ...]
) -> dict[str, RevisionRecord]:
    """Find for each task the revision that has been in shadow, or a canary, for longest, on every engine."""
    records = (r for s in log.specialists.values() for r in s.in_state(state))
    proved = (r for r in records if engines and all(r.served_name in proofs[e] for e in engines))
    found: dict[str, RevisionRecord] = {}
    for record in sorted(proved, key=lambda r: (r.entered, r.served_name)):
        if record.scorecard is not None:
            found.setdefault(record.scorecard.task, record)
    return found


def _with_names(found: list[TaskRoute], contracts: list[Contract], named: set[str]) -> Iterator[TaskRoute]:
    """Give each task that nobody serves the name of the first who claims it: clients may ask by it."""
    for route in found:
        claims = (c.specialist for c in contracts if c.task == route.task and c.specialist not in named)
        name = route.specialist if route.live is not None else next(claims, None)
        named |= {name} if name is not None else set()
        yield replace(route, specialist=name)


def quarantined(log: LogState) -> tuple[str, ...]:
    """Name what is in quarantine; of more than a table has room for, the newest."""
    records = [r for s in log.specialists.values() for r in s.in_state(State.QUARANTINED)]
    newest = sorted(records, key=lambda r: (r.entered, r.served_name), reverse=True)[:MOST_QUARANTINED]
    return tuple(sorted({r.served_name for r in newest}))


def in_order(contracts: Iterable[Contract]) -> tuple[Rule, ...]:
    """Put the rules of all contracts in order: by what they look at, then by specialist, then as written.

    Of two that match the same requests the second would never be reached, so it is left out.
    """
    rules = (Rule(c.task, match) for c in contracts for match in c.match)
    ordered = sorted(rules, key=lambda rule: RULES_IN_ORDER.index(rule.match.by))
    first: dict[Match, Rule] = {}
    for rule in ordered:
        first.setdefault(_folded(rule.match), rule)
    return tuple(first.values())


def _folded(match: Match) -> Match:
    """Write what gateways read in any case in small letters."""
    if match.by is MatchBy.HEADER and match.name is not None:
        return replace(match, name=match.name.lower())
    return replace(match, value=match.value.lower()) if match.by is MatchBy.KEYWORD else match

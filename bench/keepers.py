"""Who decides which candidates stay: the governance of this repository, and what is in use today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bench.ecology import ITEMS, MAIN, MEMORY, SLOTS, Candidate, World
from bench.histories import ALPHA, HOPELESS_LEVEL, SCREEN_PARTS
from modelecology.api.vocabulary import Disclosure, Outcome
from modelecology.governance.facts import GENERALIST, Interval, Member, Standing
from modelecology.governance.intervals import clopper_pearson, tango
from modelecology.governance.looks import Look, SuiteLife
from modelecology.governance.portfolio import Population, generalists
from modelecology.governance.residents import best_residents
from modelecology.governance.sequential import Question, Units, answer
from modelecology.governance.unviable import findings

SMALLEST = 0.03  # policy.evidence.minimumEffect: a gain proven to be less is not worth more items
CONFIDENCE = 0.95
THRESHOLD = 0.05  # what threshold-only asks above the generalist


@dataclass(frozen=True, slots=True)
class Kept:
    """What a keeper came to: the true worth after each arrival, and the items that it asked candidates."""

    path: tuple[float, ...]
    items: int
    promoted: int = 0


@dataclass(slots=True)
class Governed:
    """Screen, proof, retirement and best set, by the functions that judge in the operator.

    At full capacity a person follows what the capacity check says: whom the best set leaves out goes.
    """

    world: World
    life: SuiteLife = field(default_factory=lambda: SuiteLife(ALPHA, Disclosure.VERDICT))
    live: list[Candidate] = field(default_factory=list)
    waiting: list[Candidate] = field(default_factory=list)  # survived the screen, and have no place yet
    archived: list[Candidate] = field(default_factory=list)  # were live, and can be restored
    items: int = 0
    promoted: int = 0

    def run(self) -> Kept:
        """Meet the whole history."""
        screen = len(self.life.screened(MAIN))
        # Of the generalist, and of what is live, all of the screen is known; of others what they were asked.
        believed = {c.name: float(c.answers[:screen].mean()) for c in self.world.generalist.values()}
        path = []
        for candidate in self.world.history:
            if self._survives(candidate, believed, screen):
                self.waiting.append(candidate)
                while self._admit(believed, screen):
                    pass
            path.append(self.world.worth(self.live, believed))
        return Kept(tuple(path), self.items, self.promoted)

    def _survives(self, candidate: Candidate, believed: dict[str, float], screen: int) -> bool:
        """Ask the screen; what it does not send away may be proved once it has a place."""
        incumbent = self._incumbent(candidate, believed)
        margin = self._margin(candidate, incumbent)
        if margin >= 1:
            return False
        asked = Question("gain", margin, float(ALPHA), max(margin, SMALLEST), HOPELESS_LEVEL)
        outcome, met = _course(asked, _units(candidate, incumbent)[:screen], SCREEN_PARTS)
        self.items += met
        believed[candidate.name] = float(candidate.answers[:met].mean())
        return outcome is not Outcome.FAIL

    def _admit(self, believed: dict[str, float], screen: int) -> bool:
        """Prove the first of those that wait which the best set would keep; says whether there was one."""
        best = self._best((*self.live, *self.archived, *self.waiting), believed)
        candidate = next((each for each in self.waiting if each.name in best), None)
        level = float(self.life.next_level())
        if candidate is None or level == 0.0:
            return False
        self.waiting.remove(candidate)
        incumbent = self._incumbent(candidate, believed)
        margin = self._margin(candidate, incumbent)
        proof = Question("gain", margin, level, margin, 0.0)
        outcome, met = _course(proof, _units(candidate, incumbent)[screen:], self.life.stops)
        self.items += met
        self.life = self.life.after(Look(outcome is Outcome.PASS))
        if outcome is Outcome.PASS:
            # Once live it is asked everything, as the incumbent of those to come and through the endpoint.
            self.items += ITEMS
            self.promoted += 1
            believed[candidate.name] = float(candidate.answers[:screen].mean())
            self.live.append(candidate)
            self._retire(believed, screen)
        return True

    def _margin(self, candidate: Candidate, incumbent: Candidate) -> float:
        """The mean difference that just repays the upkeep; the incumbent's is saved, since it will go."""
        more = self.world.cost(candidate) - self.world.cost(incumbent)
        return more / self.world.rate(candidate.task)

    def _incumbent(self, candidate: Candidate, believed: dict[str, float]) -> Candidate:
        rivals = (self.world.generalist[candidate.task], *(c for c in self.live if c.task == candidate.task))
        return max(rivals, key=lambda each: believed[each.name])

    def _retire(self, believed: dict[str, float], screen: int) -> None:
        """Take out what evidence retires, and then what the best set leaves out."""
        world = self.world
        members = tuple(self._member(each, believed, screen) for each in self.live)
        base = tuple(self._member(each, believed, screen) for each in world.generalist.values())
        base = tuple(replace(each, served_name=GENERALIST) for each in base)
        found = findings(Standing(base, members), tuple(world.tasks.values()), world.policy)
        # The person looks at what the best set would be of all that were proven, and restores or retires.
        proven = [each for each in self.live if found[each.name].reason is None] + self.archived
        best = self._best(tuple(proven), believed)
        self.archived = [c for c in (*self.live, *self.archived) if c.name not in best]
        self.live = [each for each in proven if each.name in best]

    def _best(self, residents: tuple[Candidate, ...], believed: dict[str, float]) -> tuple[str, ...]:
        world = self.world
        base = generalists(
            Member(GENERALIST, task, believed[each.name], 0) for task, each in world.generalist.items()
        )
        members = tuple(each.member(believed[each.name]) for each in residents)
        population = Population(base, members)
        return best_residents(population, tuple(world.tasks.values()), world.policy, world.capacity).kept

    def _member(self, own: Candidate, believed: dict[str, float], screen: int) -> Member:
        """Give a candidate with the bounds that the screen's items allow, beside the best of the others."""
        told = own.answers[:screen]
        bounds = clopper_pearson(int(told.sum()), screen, CONFIDENCE)
        rivals = [self.world.generalist[own.task], *(c for c in self.live if c.task == own.task)]
        best = max((r for r in rivals if r is not own), key=lambda r: believed[r.name], default=None)
        over, lead = "", None
        if best is not None:
            theirs = best.answers[:screen]
            lead = tango(int((told & ~theirs).sum()), int((theirs & ~told).sum()), screen, CONFIDENCE)
            over = best.name if best in self.live else GENERALIST
        return _bounded(own.member(believed[own.name]), bounds, over, lead)


def _units(candidate: Candidate, incumbent: Candidate) -> Units:
    return candidate.answers[:MAIN].astype(np.float64) - incumbent.answers[:MAIN]


def _bounded(member: Member, bounds: Interval, over: str, lead: Interval | None) -> Member:
    return replace(member, low=bounds.low, high=bounds.high, over=over, lead=lead)


def _course(question: Question, units: Units, rounds: int) -> tuple[Outcome, int]:
    """Ask round by round until there is an answer; gives it, and the items that were met."""
    for number in range(1, rounds + 1):
        met = len(units) * number // rounds
        found = answer(question, units[:met])
        if found.outcome is not Outcome.INCONCLUSIVE:
            break
    return found.outcome, met


# Those in use today ask every candidate everything. They tell by the mean over all items.
Choice = Callable[[World, list[Candidate], dict[str, float], list[Candidate]], list[Candidate]]


def everything(world: World, choose: Choice) -> Kept:
    """Ask every candidate all items, and let it be chosen from those so far."""
    believed = {
        each.name: float(each.answers.mean()) for each in (*world.generalist.values(), *world.history)
    }
    residents: list[Candidate] = []
    path = []
    for number in range(1, len(world.history) + 1):
        residents = choose(world, list(world.history[:number]), believed, residents)
        path.append(world.worth(residents, believed))
    return Kept(tuple(path), ITEMS * len(world.history))


def keep_all(
    _: World, seen: list[Candidate], __: dict[str, float], residents: list[Candidate]
) -> list[Candidate]:
    """Keep whatever comes, as long as it has a place."""
    return _with(residents, seen[-1])


def threshold_only(
    world: World, seen: list[Candidate], believed: dict[str, float], residents: list[Candidate]
) -> list[Candidate]:
    """Keep what is five points better than the generalist, as long as it has a place."""
    newest = seen[-1]
    better = believed[newest.name] - believed[world.generalist[newest.task].name]
    return _with(residents, newest) if better >= THRESHOLD else residents


def best_average(
    _: World, seen: list[Candidate], believed: dict[str, float], __: list[Candidate]
) -> list[Candidate]:
    """Keep those of the best mean scores, whatever their tasks are worth."""
    residents: list[Candidate] = []
    for each in sorted(seen, key=lambda c: -believed[c.name]):
        residents = _with(residents, each)
    return residents


def best_set(
    world: World, seen: list[Candidate], believed: dict[str, float], _: list[Candidate]
) -> list[Candidate]:
    """Keep the best set by the portfolio, of all that came: the same choice with every item asked."""
    base = generalists(
        Member(GENERALIST, task, believed[each.name], 0) for task, each in world.generalist.items()
    )
    members = tuple(each.member(believed[each.name]) for each in seen)
    population = Population(base, members)
    best = best_residents(population, tuple(world.tasks.values()), world.policy, world.capacity)
    return [each for each in seen if each.name in best.kept]


def _with(residents: list[Candidate], newest: Candidate) -> list[Candidate]:
    fits = len(residents) < SLOTS and sum(c.size for c in residents) + newest.size <= MEMORY
    return [*residents, newest] if fits else residents


PEERS: dict[str, Choice] = {
    "keep all": keep_all,
    "threshold only": threshold_only,
    "best average": best_average,
    "best set, every item asked": best_set,
}

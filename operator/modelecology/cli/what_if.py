"""`what-if`: the portfolio with prices, traffic, worth, capacity or members changed. It touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelecology.api.meta import Amount, render_decimal, render_duration
from modelecology.api.quantities import Memory, bytes_of
from modelecology.api.vocabulary import Role
from modelecology.governance.facts import SuiteTask
from modelecology.governance.portfolio import Delta, Population, leave_one_out, value
from modelecology.governance.residents import Residents, best_residents
from modelecology.governance.rules import Prices
from modelecology.governance.unviable import findings

from . import words
from .port import CliError
from .weighing import Terms

_AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
_MEMORY: TypeAdapter[str] = TypeAdapter(Memory)
_PRICES = {to_camel(each.name): each.name for each in fields(Prices)}
_ROUNDING = 1e-6
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Changes:
    """What is changed, by the names that the kinds give it."""

    prices: Mapping[str, Decimal] = field(default_factory=dict)
    traffic: Mapping[str, float] = field(default_factory=dict)
    worth: Mapping[str, Decimal] = field(default_factory=dict)
    adapters: int | None = None
    memory: str | None = None
    without: tuple[str, ...] = ()

    def told(self) -> tuple[str, ...]:
        """Say what is changed, one sentence part each."""
        capacity = {"adapters": self.adapters, "memory": self.memory}
        return (
            *(f"prices.{_shown(name)} {render_decimal(price)}" for name, price in self.prices.items()),
            *(f"traffic of {task} {share:g}" for task, share in self.traffic.items()),
            *(f"worth of {task} {render_decimal(worth)}" for task, worth in self.worth.items()),
            *(f"capacity.{name} {known}" for name, known in capacity.items() if known is not None),
            *(f"without {name}" for name in self.without),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One member: what it is worth, and what becomes of it."""

    name: str
    task: str
    worth: Delta
    fate: str  # "stays", or why not


@dataclass(frozen=True, slots=True)
class Weighed:
    """A population weighed: its value above the generalist alone, its members, and the best set of them."""

    value: Decimal
    lines: tuple[Line, ...]
    best: Residents


def changes(
    prices: Sequence[str],
    traffic: Sequence[str],
    worth: Sequence[str],
    capacity: Sequence[str],
    without: Sequence[str],
) -> Changes:
    """Read what the options say, each as NAME=VALUE. Raises `CliError`."""
    priced = _pairs("--price", prices, _amount, tuple(_PRICES))
    slots = [text for text in capacity if not text.startswith("memory=")]
    memory = [text for text in capacity if text.startswith("memory=")]
    return Changes(
        {_PRICES[name]: price for name, price in priced.items()},
        _pairs("--traffic", traffic, _share),
        _pairs("--worth", worth, _amount),
        _pairs("--capacity", slots, _slots, ("adapters", "memory")).get("adapters"),
        _pairs("--capacity", memory, _memory).get("memory"),
        tuple(without),
    )


def changed(terms: Terms, made: Changes) -> Terms:
    """Lay changes over the terms of a population. Raises `CliError` for what it does not have."""
    known = {t.name for t in terms.tasks if t.role is Role.TASK}
    for task in (*made.traffic, *made.worth):
        if task not in known:
            raise CliError(f"The suite has no task {task!r}.", f"Its tasks are {', '.join(sorted(known))}.")
    tasks = tuple(_task(task, made) for task in terms.tasks)
    total = sum(task.traffic for task in tasks)
    if total > 1 + _ROUNDING:
        raise CliError(
            f"The traffic shares of all tasks would add up to {total:g}.", "Give them 1 together at most."
        )
    policy = replace(
        terms.policy,
        prices=replace(terms.policy.prices, **made.prices),
        adapters=terms.policy.adapters if made.adapters is None else made.adapters,
        memory=terms.policy.memory if made.memory is None else bytes_of(made.memory),
    )
    names = [m.served_name for m in terms.standing.members]
    gone = {served for name in made.without for served in _served(name, names)}
    staying = tuple(m for m in terms.standing.members if m.served_name not in gone)
    return Terms(replace(terms.standing, members=staying), tasks, policy)


def weigh(terms: Terms) -> Weighed:
    """Weigh a population with the functions by which the operator judges."""
    population, tasks, policy = terms.population, terms.tasks, terms.policy
    alone = value(Population(population.generalist), tasks, policy)
    worth = leave_one_out(population, tasks, policy)
    found = findings(terms.standing, tasks, policy)
    best = best_residents(population, tasks, policy, terms.capacity)
    ranked = sorted(population.members, key=lambda m: (-worth[m.served_name].point, m.served_name))

    def fate(name: str) -> str:
        cause, kept = found[name].reason, name in best.kept
        if cause is not None:
            return f"retirement would be proposed: {cause}{', but the best set keeps it' if kept else ''}"
        return "stays" if kept else "left out of the best set"

    lines = tuple(Line(m.served_name, m.task, worth[m.served_name], fate(m.served_name)) for m in ranked)
    return Weighed(value(population, tasks, policy) - alone, lines, best)


def what_if_record(name: str, terms: Terms, made: Changes, now: Weighed, then: Weighed) -> dict[str, Any]:
    """Record the comparison for programs."""
    return {
        "population": name,
        "horizon": render_duration(terms.policy.horizon),
        "confidence": terms.policy.confidence,
        "changes": list(made.told()),
        "now": _record(now),
        "then": _record(then),
    }


def render_what_if(name: str, terms: Terms, made: Changes, now: Weighed, then: Weighed) -> RenderableType:
    """Lay the comparison out for one screen."""
    head = Table.grid(padding=(0, 2))
    for style in ("dim", None, None):
        head.add_column(no_wrap=True, style=style or "", justify="left" if style else "right")
    head.add_row("", Text("now", style="bold"), Text("then", style="bold"))
    head.add_row("value", words.amount(now.value), words.amount(then.value))
    head.add_row("best set's value", words.amount(now.best.gain), words.amount(then.best.gain))
    head.add_row("best set", _size(now), _size(then))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("MEMBER", "TASK"):
        table.add_column(title, no_wrap=True)
    for title in ("WORTH NOW", "WORTH THEN"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("THEN", overflow="fold")
    later = {line.name: line for line in then.lines}
    for line in now.lines:
        after = later.get(line.name)
        table.add_row(
            line.name,
            line.task,
            _worth(line.worth),
            _worth(after.worth) if after is not None else words.NONE,
            after.fate if after is not None else "taken out",
        )
    asked = "; ".join(made.told()) or "nothing is changed"
    rest = [] if now.lines else [Text("No live specialists.", style="dim")]
    over = f"over {words.per(terms.policy.horizon)}, above the generalist alone"
    if not then.best.exact:
        rest.append(Text("The best set then is an estimate: more than 16 members.", style="dim"))
    return Group(
        Text(f"{name}: what if {asked}", style="bold"),
        Text(
            f"In the policy's currency, {over}; bounds at {terms.policy.confidence * 100:g} %.", style="dim"
        ),
        Text(),
        head,
        Text(),
        *([table] if now.lines else []),
        *rest,
    )


def _record(found: Weighed) -> dict[str, Any]:
    return {
        "value": render_decimal(found.value),
        "best": {
            "kept": list(found.best.kept),
            "leftOut": list(found.best.left_out),
            "value": render_decimal(found.best.gain),
            "exact": found.best.exact,
        },
        "members": [
            {
                "servedName": line.name,
                "task": line.task,
                "low": render_decimal(line.worth.low),
                "point": render_decimal(line.worth.point),
                "high": render_decimal(line.worth.high),
                "fate": line.fate,
            }
            for line in found.lines
        ],
    }


def _size(found: Weighed) -> str:
    return f"{len(found.best.kept)} of {len(found.lines)}"


def _worth(worth: Delta) -> str:
    low, point, high = (words.amount(each) for each in (worth.low, worth.point, worth.high))
    return f"{point} [{low}, {high}]"


def _task(task: SuiteTask, made: Changes) -> SuiteTask:
    return replace(
        task,
        traffic=made.traffic.get(task.name, task.traffic),
        worth=made.worth.get(task.name, task.worth),
    )


def _served(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """Find the live revisions that a name means: a served name, or a specialist's."""
    found = tuple(n for n in names if name in (n, n.rpartition("-")[0]))
    if not found:
        raise CliError(f"{name} is not live.", f"Live are {', '.join(names) or 'none'}.")
    return found


def _pairs(
    option: str, given: Sequence[str], read: Callable[[str], _T], known: Sequence[str] = ()
) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for text in given:
        name, equals, amount = text.partition("=")
        if not (name and equals and amount):
            raise CliError(f"{option} takes NAME=VALUE, not {text!r}.", f"For example {option} name=1.")
        if known and name not in known:
            raise CliError(f"{option} {name} is not known.", f"Known are {', '.join(known)}.")
        try:
            found[name] = read(amount)
        except (ValidationError, ValueError) as error:
            raise CliError(f"{option} {name} cannot be {amount!r}.", _TAKES[option]) from error
    return found


_TAKES = {
    "--price": "It takes an amount of 0 or more, such as 2.50.",
    "--worth": "It takes an amount of 0 or more, such as 0.02.",
    "--traffic": "It takes a share from 0 to 1.",
    "--capacity": "adapters takes a number from 1 on, memory an amount such as 2Gi.",
}


def _amount(text: str) -> Decimal:
    return _AMOUNT.validate_python(text)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _slots(text: str) -> int:
    slots = int(text)
    if slots < 1:
        raise ValueError(text)
    return slots


def _memory(text: str) -> str:
    return _MEMORY.validate_python(text)


def _shown(price: str) -> str:
    return next(shown for shown, name in _PRICES.items() if name == price)

"""The tree of a population: what it is judged on, where it serves, and every revision it holds."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text
from rich.tree import Tree

from modelecology.api.population import EndpointStatus, Population
from modelecology.api.specialist import RevisionStatus, Specialist
from modelecology.api.suite import EvaluationSuite, Task
from modelecology.api.vocabulary import Role, Scope

from . import words
from .rows import awaits_approval, doing
from .table import STATE_STYLES


def render_tree(
    population: Population,
    suite: EvaluationSuite | None,
    members: tuple[Specialist, ...],
    now: datetime,
) -> Tree:
    """Draw one population; `suite` is None when the suite does not exist."""
    spec = population.spec
    root = Tree(Text.assemble(("Population ", "dim"), (population.metadata.name, "bold")), guide_style="dim")
    root.add(_line("generalist", f"{spec.generalist.model} ({words.short(spec.generalist.digest)})"))
    _add_suite(root, population, suite)
    engines = root.add(_line("engines", ""))
    for endpoint in population.status.endpoints:
        _add_engine(engines, endpoint)
    if not population.status.endpoints:
        for address in spec.serving.endpoints:
            engines.add(Text(f"{address} (not seen yet)"))
    branch = root.add(_line("specialists", "" if members else "none yet"))
    for specialist in members:
        _add_specialist(branch, specialist, now)
    return root


def _add_suite(root: Tree, population: Population, suite: EvaluationSuite | None) -> None:
    name = population.spec.suite_ref.name
    if suite is None:
        root.add(_line("suite", f"{name} does not exist; create it", "yellow"))
        return
    life = population.status.suite_life
    looks = "" if life is None else f": {words.suite_life(life)}"
    branch = root.add(_line("suite", f"{name} ({words.short(population.status.suite_digest)}){looks}"))
    baseline = {b.task: b for b in population.status.baseline}
    provable = {} if life is None else {p.task: p for p in life.provable}
    traffic = population.status.traffic
    shares = {} if traffic is None else {t.task: t.share for t in traffic.tasks}
    for task in suite.spec.tasks:
        line = f"{task.name}: {task_terms(task, shares.get(task.name))}"
        if task.name in baseline:
            line += f", generalist {baseline[task.name].score:.2f} (n={baseline[task.name].n})"
        if task.name in provable:
            line += f", {words.provable(provable[task.name])}"
        branch.add(Text(line))


def task_terms(task: Task, measured: float | None = None) -> str:
    """Say the terms of a task: what it trades for, or how far it may fall; `measured` is a counted share."""
    if task.role is Role.INVARIANT:
        terms = (
            "every item must be right" if task.must_pass else "",
            "" if task.floor is None else f"at least {task.floor:g}",
            "" if task.max_regression is None else f"may lose at most {task.max_regression:g}",
        )
        return ", ".join((f"invariant ({task.scope or Scope.ADAPTER})", *filter(None, terms)))
    share = f"{task.share:g}" if measured is None else f"{measured:g} (measured)"
    return f"traffic {share}, worth {words.amount(task.price)}"


def _add_engine(branch: Tree, endpoint: EndpointStatus) -> None:
    if not endpoint.reachable:
        branch.add(
            Text(f"{endpoint.endpoint} is unreachable: {endpoint.message or 'no reason given'}", style="red")
        )
        return
    node = branch.add(Text(endpoint.endpoint))
    for adapter in endpoint.adapters:
        node.add(Text(adapter))


def _add_specialist(branch: Tree, specialist: Specialist, now: datetime) -> None:
    status = specialist.status
    title = Text.assemble(
        (specialist.metadata.name, "bold"),
        f" (task {specialist.spec.contract.task}): ",
        (status.state, STATE_STYLES[status.state]),
    )
    node = branch.add(title)
    revisions = (("live", status.live), ("candidate", status.candidate), ("previous", status.previous))
    shown = [(role, revision) for role, revision in revisions if revision is not None]
    names = {revision.served_name for _, revision in shown}
    shown += [("pinned", pinned) for pinned in status.pinned if pinned.served_name not in names]
    for role, revision in shown:
        node.add(_revision(role, revision, now))
    if awaits_approval(specialist):
        node.add(
            _line("waits", f"for a person: kubectl ecology approve {specialist.metadata.name}", "yellow")
        )
    if status.progress is not None:
        node.add(_line("job", words.progress(status.progress)))
    elif not shown:
        node.add(Text(f"no revision yet: {doing(specialist)}", style="dim"))


def _revision(role: str, revision: RevisionStatus, now: datetime) -> Text:
    text = _line(role, f"{revision.served_name}  key {words.short(revision.key)}  ")
    text.append(revision.state, style=STATE_STYLES[revision.state])
    text.append(f" for {words.age(revision.since, now)}")
    if revision.reason:
        text.append(f", {words.plain(revision.reason)}")
    if revision.scorecard is not None:
        text.append(f", score {words.score(revision.scorecard)}")
    return text


def _line(label: str, value: str, style: str = "") -> Text:
    return Text.assemble((label, "dim"), " " if value else "", (value, style))

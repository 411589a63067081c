"""`kubectl ecology`: the commands, each a few lines over pure rendering and the cluster's port."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from modelecology.api.population import Population
from modelecology.governance.log import Entry, LogBroken

from .access import Access
from .acts import add_acts
from .ask import answer_record, ask, render_route
from .explain import choose, render_explanation
from .follow import follow_in_lines, follow_on_terminal
from .isolate import quarantine
from .ledger import (
    By,
    Form,
    Sheet,
    ledger_csv,
    ledger_record,
    reaches_back,
    render_ledger,
    sheet_of,
    window_of,
)
from .lint import LintResult, lint
from .lint.report import render_lint, result_record
from .log import app as log_app
from .offline import Offline
from .options import (
    Context,
    Hints,
    Kubeconfig,
    Namespace,
    OutputForm,
    Session,
    Settings,
    StoreUri,
    open_session,
    settings,
)
from .port import CliError, Cluster, NotFoundError, Snapshot
from .records import explanation_record, population_record, status_record, write
from .replaying import show_replay
from .rows import awaits_approval, retirement_proposed
from .screen import Output, Screen
from .table import render_status
from .tree import render_tree
from .weighing import terms_of
from .what_if import changed, changes, render_what_if, weigh, what_if_record

# A watch brings ages up to date this often, in seconds; changes show at once.
_TICK = 1.0

app = typer.Typer(
    name="kubectl ecology",
    help="See a population of specialists, and why each one stands where it stands.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _clock() -> datetime:
    return datetime.now(UTC)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kubectl-ecology {version('modelecology')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See a population of specialists, and why each one stands where it stands."""
    ctx.obj = Settings(Access(kubeconfig, context, namespace), hints)


@app.command(short_help="Show one line per specialist, and follow it.")
def status(
    ctx: typer.Context,
    *,
    population: Annotated[str | None, typer.Argument(help="Only this population.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the changes until Ctrl-C.")] = False,
    output: OutputForm = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Show one line per specialist: its state, what it is doing or why it ended, its score and its cost."""
    if watch and output is not Output.TABLE:
        raise typer.BadParameter("--watch writes a table; leave --output out")
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    if watch:
        _follow(session, population)
        return
    snapshot = session.cluster.snapshot()
    _check_population(snapshot, population)
    if output is not Output.TABLE:
        session.screen.text(write(status_record(snapshot, population), output))
        return
    if not snapshot.populations and not snapshot.specialists:
        session.screen.show(f"No populations in namespace {snapshot.namespace}.")
        session.screen.hint("Next: kubectl apply -f a Population, or look elsewhere with -n.")
        return
    session.screen.show(render_status(snapshot, population, _clock(), session.screen.out.width))
    session.screen.hint(*_next_after_status(snapshot))


def _follow(session: Session, population: str | None) -> None:
    out = session.screen.out
    follow = follow_on_terminal if out.is_terminal else follow_in_lines
    with closing(session.cluster.follow(_TICK)) as snapshots:
        follow(snapshots, population, out, _clock)
    session.screen.hint("Next: kubectl ecology explain NAME says why one ended where it did.")


def _next_after_status(snapshot: Snapshot) -> tuple[str, ...]:
    waiting = next((s.metadata.name for s in snapshot.specialists if awaits_approval(s)), None)
    if waiting is not None:
        return (f"Next: kubectl ecology explain {waiting}, then kubectl ecology approve {waiting}.",)
    going = next((s.metadata.name for s in snapshot.specialists if retirement_proposed(s)), None)
    if going is not None:
        return (f"Next: kubectl ecology explain {going}, then kubectl ecology retire {going}.",)
    example = next((s.metadata.name for s in snapshot.specialists if s.status.last_decision), "NAME")
    return (f"Next: kubectl ecology explain {example}, or kubectl ecology status --watch.",)


def _check_population(snapshot: Snapshot, population: str | None) -> None:
    if population is None or snapshot.members(population):
        return
    if all(p.metadata.name != population for p in snapshot.populations):
        known = ", ".join(p.metadata.name for p in snapshot.populations) or "none"
        raise NotFoundError(
            f"There is no population {population} in namespace {snapshot.namespace}.",
            f"Populations there: {known}. Choose another namespace with -n.",
        )


@app.command(short_help="Show suite, engines and all revisions.")
def tree(
    ctx: typer.Context,
    *,
    population: Annotated[str | None, typer.Argument(help="Only this population.")] = None,
    output: OutputForm = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Show what a population is judged on, where it serves, and every revision it holds."""
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    snapshot = session.cluster.snapshot()
    _check_population(snapshot, population)
    chosen = [p for p in snapshot.populations if population in (None, p.metadata.name)]
    suites = {p.metadata.name: session.cluster.suite(p.spec.suite_ref.name) for p in chosen}
    if output is not Output.TABLE:
        records = [
            population_record(p, snapshot.members(p.metadata.name), suites[p.metadata.name]) for p in chosen
        ]
        session.screen.text(write({"namespace": snapshot.namespace, "populations": records}, output))
        return
    trees: list[RenderableType] = [
        render_tree(p, suites[p.metadata.name], snapshot.members(p.metadata.name), _clock()) for p in chosen
    ]
    session.screen.show(Group(*trees) if trees else f"No populations in namespace {snapshot.namespace}.")
    session.screen.hint(*_next_after_status(snapshot))


@app.command(short_help="Show the last verdict with every check.")
def explain(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="Name of the Specialist.")],
    decision: Annotated[
        int | None, typer.Option("--decision", min=1, help="Sequence of another of its decisions.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Make the verdict again from what it was made from, and compare.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --replay: every decision about it.")] = False,
    store: StoreUri = None,
    output: OutputForm = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Show the last verdict on a specialist: every check, what it rests on, and its history."""
    if not replay and (every or store is not None):
        raise typer.BadParameter("--all and --store go with --replay")
    if every and decision is not None:
        raise typer.BadParameter("--all and --decision exclude each other")
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    specialist = session.cluster.specialist(name)
    found = session.cluster.decisions(specialist)
    chosen = choose(found, name, decision)
    if replay:
        show_replay(session, specialist, found if every else chosen, store, output)
        return
    if output is not Output.TABLE:
        session.screen.text(write(explanation_record(specialist, found, chosen), output))
        return
    session.screen.show(render_explanation(specialist, found, chosen, _clock()))
    if awaits_approval(specialist):
        session.screen.hint(f"Next: kubectl ecology approve {name}")
    elif found:
        session.screen.hint(f"Next: kubectl ecology explain {name} --decision {found[0].spec.sequence}")
    else:
        session.screen.hint("Next: kubectl ecology status --watch")


@app.command(name="ledger", short_help="Show what was spent, by whom and on what.")
def ledger_command(
    ctx: typer.Context,
    *,
    name: Annotated[str | None, typer.Argument(help="Only this Specialist.")] = None,
    by: Annotated[By, typer.Option("--by", help="What is summed.")] = By.SPECIALIST,
    window: Annotated[str | None, typer.Option("--window", help="Only the last while, such as 168h.")] = None,
    store: StoreUri = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How the result is written.")] = Form.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Show what was spent: failed tries, evaluations, and what is held on engines and in the store."""
    length = window_of(window)
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    start = _clock() - length if length is not None else None
    populations = session.cluster.snapshot().populations
    if name is not None:
        home = session.cluster.specialist(name).spec.population_ref.name
        populations = tuple(p for p in populations if p.metadata.name == home)
    sheets = [_sheet(session, p, by, name, start, store) for p in populations]
    if output is Form.CSV:
        session.screen.text(ledger_csv(sheets))
    elif output is Form.JSON:
        record = ledger_record(sheets, session.cluster.namespace, by, start)
        session.screen.text(write(record, Output.JSON))
    elif not sheets:
        session.screen.show(f"No populations in namespace {session.cluster.namespace}.")
    else:
        session.screen.show(render_ledger(sheets, by))
        session.screen.hint("Next: kubectl ecology ledger NAME --by action, or -o csv for a spreadsheet.")


def _sheet(
    session: Session,
    population: Population,
    by: By,
    name: str | None,
    start: datetime | None,
    store: str | None,
) -> Sheet:
    decisions, older = session.cluster.log(population), list[Entry]()
    if reaches_back(decisions, start):
        try:
            offline = Offline.open(population, store)
            older = offline.older(population.metadata.log_uid, decisions[0].spec.sequence)
        except LogBroken as error:
            remedy = f"Look with: kubectl ecology log verify {population.metadata.name}"
            raise CliError(f"The store's log cannot be used: {error}.", remedy) from error
    return sheet_of(population, decisions, by, name=name, start=start, older=older)


add_acts(app, _clock)


@app.command(name="quarantine", short_help="Take a specialist out of service at once.")
def quarantine_command(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="Name of the Specialist.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the Decision.")] = "",
    revision: Annotated[
        str | None, typer.Option("--revision", help="Which one, such as a pinned one, by digest or name.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Take the canary out of service, else what is live or in shadow; its Decision will name you.

    The revision that served before it takes its place, if it can still be restored; else the fallback does.
    """
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    session.screen.show(quarantine(session.cluster, name, reason, _clock(), revision=revision))
    session.screen.hint(f"Next: kubectl ecology explain {name}; kubectl ecology release {name} lets it out.")


@app.command(name="ask", short_help="Ask a population's gateway, and see who answers and why.")
def ask_command(
    ctx: typer.Context,
    *,
    model: Annotated[
        str, typer.Argument(help="A population, a task, a Specialist, or a revision's served name.")
    ],
    prompt: Annotated[str, typer.Argument(help="The question.")],
    gateway: Annotated[
        str, typer.Option("--gateway", envvar="MODELECOLOGY_GATEWAY", help="Address, as http://HOST:PORT.")
    ],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the token that the gateway asks for.")
    ] = None,
    output: OutputForm = Output.TABLE,
    hints: Hints = None,
) -> None:
    """Ask a population's gateway one question; it says itself who answered, and why."""
    screen = Screen(settings(ctx, Settings(Access(), hints)).hints)
    answer = ask(gateway, model, prompt, token_file)
    if output is not Output.TABLE:
        screen.text(write(answer_record(answer), output))
        return
    screen.text(answer.text)
    screen.text(render_route(answer))


@app.command(name="what-if", short_help="Weigh a population with something changed.")
def what_if_command(
    ctx: typer.Context,
    *,
    population: Annotated[str, typer.Argument(help="Name of the Population.")],
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="NAME=AMOUNT, a price of the policy, such as gibHour=0.05."),
    ] = None,
    traffic: Annotated[
        list[str] | None, typer.Option("--traffic", help="TASK=SHARE of the requests, from 0 to 1.")
    ] = None,
    worth: Annotated[
        list[str] | None, typer.Option("--worth", help="TASK=AMOUNT that a correct answer is worth.")
    ] = None,
    capacity: Annotated[
        list[str] | None, typer.Option("--capacity", help="adapters=NUMBER or memory=AMOUNT, such as 2Gi.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="A live specialist, as if it were not there.")
    ] = None,
    output: OutputForm = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Weigh a population as the operator does, with something changed; nothing in the cluster is touched."""
    made = changes(price or (), traffic or (), worth or (), capacity or (), without or ())
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    snapshot = session.cluster.snapshot()
    _check_population(snapshot, population)
    found = next(p for p in snapshot.populations if p.metadata.name == population)
    terms = terms_of(found, session.cluster.suite(found.spec.suite_ref.name))
    now, then = weigh(terms), weigh(changed(terms, made))
    if output is not Output.TABLE:
        session.screen.text(write(what_if_record(population, terms, made, now, then), output))
        return
    session.screen.show(render_what_if(population, terms, made, now, then))
    session.screen.hint("Next: change spec.policy or the suite in Git, or kubectl ecology retire NAME.")


@app.command(name="lint", short_help="Check manifests without a cluster.")
def lint_command(
    ctx: typer.Context,
    *,
    files: Annotated[list[str], typer.Argument(help="YAML or JSON files, or - for standard input.")],
    output: OutputForm = Output.TABLE,
    hints: Hints = None,
) -> None:
    """Check manifests without a cluster: schema, CEL rules, and references between the given documents."""
    screen = Screen(settings(ctx, Settings(Access(), hints)).hints)
    result: LintResult = lint(files, stdin=sys.stdin)
    if output is Output.TABLE:
        screen.lines(render_lint(result))
    else:
        screen.text(write(result_record(result), output))
    if not result.ok:
        screen.hint("Next: mend the named fields, then run it again.")
        raise typer.Exit(1)
    screen.hint(f"Next: kubectl apply {' '.join(f'-f {name}' for name in files)}")


app.add_typer(log_app, name="log", help="Verify a population's log, or rebuild it from the store.")

__all__ = ["Cluster", "app"]

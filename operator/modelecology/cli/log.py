"""`kubectl ecology log`: look at a whole log from outside, and rebuild it from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelecology.api.population import Population
from modelecology.governance.chain import line_of
from modelecology.governance.log import LogBroken
from modelecology.governance.segments import Keys
from modelecology.governance.verify import Tip, Whole, verify

from .offline import Offline, keys_in, reading
from .options import (
    Context,
    Hints,
    Kubeconfig,
    Namespace,
    OutputForm,
    Session,
    StoreUri,
    open_session,
)
from .port import CliError
from .rebuild import Rebuilding
from .records import write
from .replaying import population_of
from .replays import entry
from .screen import Output

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
PopulationName = Annotated[str, typer.Argument(help="Name of the Population.")]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        help="File with an Ed25519 public key in PEM, by which what is sealed must be signed; may be "
        "repeated, for keys that followed one another.",
    ),
]
_MOST_LOOKS = 5


@app.command(name="verify", short_help="Find the first break in a log.")
def verify_command(
    ctx: typer.Context,
    *,
    population: PopulationName,
    store: StoreUri = None,
    without_store: Annotated[
        bool, typer.Option("--without-store", help="Look at the cluster's decisions alone.")
    ] = False,
    tip: Annotated[
        list[str] | None,
        typer.Option("--tip", help="A decision that must be in it, as <sequence>:<digest>; may be repeated."),
    ] = None,
    public_key: PublicKeys = None,
    output: OutputForm = Output.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Check every decision of a population: chain, digests, segments, signatures, transitions, and inputs."""
    named = tuple(_tip(text) for text in tip or ())
    if public_key and without_store:
        raise typer.BadParameter(
            "--public-key is about what is sealed in the store; leave out --without-store"
        )
    keys = keys_in(public_key or ())
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    found = population_of(session, population)
    offline = None if without_store else Offline.open(found, store)
    try:
        whole = _verified(session, found, offline, named, keys)
    except LogBroken as error:
        if output is not Output.TABLE:
            session.screen.text(
                write({"population": population, "whole": False, "break": str(error)}, output)
            )
        else:
            session.screen.show(f"Broken: {error}.")
        raise typer.Exit(1) from None
    if output is not Output.TABLE:
        session.screen.text(write(_record(population, whole, checked=keys is not None), output))
        return
    session.screen.show(_said(whole, checked=keys is not None))
    session.screen.hint(
        f"Next: note the tip, {whole.decisions}:{whole.digest}, and give it with --tip later."
    )


def _verified(
    session: Session,
    population: Population,
    offline: Offline | None,
    named: tuple[Tip, ...],
    keys: Keys | None,
) -> Whole:
    """Look again at what seems broken: an operator that seals and prunes meanwhile moves what is seen."""
    before = ""
    for _ in range(_MOST_LOOKS):
        try:
            return _looked_at(session, population, offline, named, keys)
        except LogBroken as error:
            if str(error) == before:
                raise
            before = str(error)
    return _looked_at(session, population, offline, named, keys)


def _looked_at(
    session: Session,
    population: Population,
    offline: Offline | None,
    named: tuple[Tip, ...],
    keys: Keys | None,
) -> Whole:
    # Against the order in which the operator writes (inputs, Decision, copy, status), so that whatever
    # is seen names only what is seen after it.
    tips = (*named, *_status_tips(session, population))
    copy = offline.copy(population.metadata.log_uid) if offline is not None else None
    objects = {e.sequence: line_of(e) for e in (entry(d) for d in session.cluster.log(population))}
    inputs = offline.kept_inputs() if offline is not None else None
    with reading():
        return verify(objects, copy, tips, inputs, keys)


def _status_tips(session: Session, population: Population) -> list[Tip]:
    name = population.metadata.name
    statuses = [(name, population.status.last_decision)]
    members = session.cluster.snapshot().members(name)
    statuses += [(s.metadata.name, s.status.last_decision) for s in members]
    return [Tip(f"the status of {who}", tip.sequence, tip.digest) for who, tip in statuses if tip]


def _tip(text: str) -> Tip:
    sequence, _, digest = text.partition(":")
    if not sequence.isdecimal() or not digest.startswith("sha256:"):
        raise typer.BadParameter(f"{text!r} is no tip; write it as 12:sha256:...")
    return Tip("--tip", int(sequence), digest)


def _said(whole: Whole, *, checked: bool) -> str:
    parts = [f"{whole.decisions} decisions, the last with digest {whole.digest}"]
    if whole.segments:
        parts.append(f"{whole.segments} segments")
    if whole.signed:
        by = f"{whole.signed} of them signed by {', '.join(whole.signers)}"
        parts.append(by if checked else f"{by}, not checked without --public-key")
    if checked:
        to = f"they vouch for the first {whole.signed_to} decisions"
        parts.append(to if whole.signed else "nothing is sealed yet, so nothing is signed")
    if whole.uncopied:
        parts.append(f"{whole.uncopied} not in the store yet")
    if whole.without_inputs:
        parts.append(f"{whole.without_inputs} without inputs")
    return f"Whole: {'; '.join(parts)}."


def _record(population: str, whole: Whole, *, checked: bool) -> dict[str, object]:
    return {
        "population": population,
        "whole": True,
        "decisions": whole.decisions,
        "digest": whole.digest,
        "segments": whole.segments,
        "signed": {
            "segments": whole.signed,
            "upTo": whole.signed_to,
            "by": list(whole.signers),
            "checked": checked,
        },
        "notInTheStoreYet": whole.uncopied,
        "withoutInputs": whole.without_inputs,
    }


@app.command(name="rebuild", short_help="Recreate the decisions of a population from its store.")
def rebuild_command(
    ctx: typer.Context,
    *,
    population: PopulationName,
    store: StoreUri = None,
    uid: Annotated[
        str | None, typer.Option("--uid", help="Which log, where the store keeps several of this name.")
    ] = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing", help="Go on although Specialists of the log have no object; they are deleted."
        ),
    ] = False,
    public_key: PublicKeys = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    hints: Hints = None,
) -> None:
    """Recreate a population's decisions from its store; apply its manifests first, the operator stopped."""
    session = open_session(ctx, namespace, context, kubeconfig, hints)
    found = population_of(session, population)
    keys = keys_in(public_key or ())
    try:
        with reading():
            rebuilding = Rebuilding(session.cluster, found, Offline.open(found, store), uid)
            said = rebuilding.run(drop_missing=drop_missing, keys=keys)
    except LogBroken as error:
        raise CliError(f"The store's log cannot be used: {error}.", "Restore the store first.") from error
    session.screen.show(said)
    session.screen.hint(f"Next: start the operator, then kubectl ecology log verify {population}.")

"""Recreates the decisions of a population on an API server that lost them, from the store alone.

The new objects have other uids than the log knows. So the Population and its Specialists are told, by an
annotation, whom they stand for; the entries themselves never change. The Population is told first: from then
on the operator takes no decision before the log is as long as the store's.
"""

from __future__ import annotations

from modelecology.api.decision import DecisionSpec, decision_object
from modelecology.api.meta import LOG_UID_ANNOTATION
from modelecology.api.population import Population
from modelecology.api.reasons import Reason
from modelecology.governance.chain import entry_of_line, line_of
from modelecology.governance.log import Entry, SpecialistRecord, fold
from modelecology.governance.segments import Keys
from modelecology.governance.verify import verify

from .offline import Offline
from .port import CliError, Cluster
from .replays import entry


class Rebuilding:
    """One rebuild. It may be repeated after an interruption."""

    def __init__(self, cluster: Cluster, population: Population, offline: Offline, uid: str | None) -> None:
        self._cluster = cluster
        self._population = population
        self._name = population.metadata.name
        self._offline = offline
        self._uid = self._chosen(uid)

    def run(self, *, drop_missing: bool, keys: Keys | None = None) -> str:
        """Do it, and say what was done; `keys` must have signed what is sealed.

        Raises LogBroken, CliError.
        """
        whole = verify(None, self._offline.copy(self._uid), keys=keys)
        if keys is not None and not whole.signed:
            raise CliError(
                "Nothing of the log in the store is signed, so a key vouches for nothing.",
                "To trust the store alone, leave out --public-key.",
            )
        log = self._offline.log(self._uid)
        contents = log.contents()
        entries = [entry_of_line(line, "a decision of the store") for line in log.lines(0, contents)]
        state = fold(entries)
        self._check_objects(entries)
        adopted = self._adopted(tuple(state.specialists.values()), drop_missing=drop_missing)
        if self._uid != self._population.metadata.uid:
            self._cluster.annotate_population(self._name, LOG_UID_ANNOTATION, f"{self._name}/{self._uid}")
        for specialist, uid in adopted.items():
            self._cluster.annotate(specialist, LOG_UID_ANNOTATION, f"{specialist}/{uid}")
        made = self._create(entries[contents.sealed :])
        sealed = f"; {contents.sealed} older ones stay in the store, sealed" if contents.sealed else ""
        return (
            f"{made} decisions of {self._name} were created, up to {state.sequence}{sealed}. "
            f"{len(adopted)} Specialists take their places."
        )

    def _chosen(self, wanted: str | None) -> str:
        """Find the log in the store that is meant."""
        meta = self._population.metadata
        found = [w.uid for w in self._offline.logs_of(self._cluster.namespace, self._name)]
        if wanted is not None or meta.log_uid != meta.uid:
            found = [uid for uid in found if uid == (wanted or meta.log_uid)]
        elif meta.uid in found:
            found = [meta.uid]
        if not found:
            which = f" with uid {wanted}" if wanted else ""
            raise CliError(
                f"The store keeps no log of {self._cluster.namespace}/{self._name}{which}.",
                "Say with --store where the right store can be read from here.",
            )
        if len(found) > 1:
            lengths = (f"{uid} ({self._offline.log(uid).contents().length} decisions)" for uid in found)
            raise CliError(
                f"The store keeps several logs of this name: {', '.join(lengths)}.", "Choose one with --uid."
            )
        return found[0]

    def _check_objects(self, entries: list[Entry]) -> None:
        """See that what is in the cluster already is this log's."""
        known = {e.sequence: e for e in entries}
        for there in (entry(d) for d in self._cluster.log(self._population)):
            if there.sequence not in known or line_of(there) != line_of(known[there.sequence]):
                raise CliError(
                    f"{self._name} has a decision {there.sequence} of its own, which is not the store's.",
                    "Stop the operator, delete the Population, apply its manifests again, and repeat this.",
                )

    def _adopted(self, records: tuple[SpecialistRecord, ...], *, drop_missing: bool) -> dict[str, str]:
        """Say which Specialist stands for which uid: that of its name which the log has seen last."""
        newest: dict[str, SpecialistRecord] = {}
        for record in sorted(records, key=lambda r: r.last.sequence if r.last else 0):
            newest[record.name] = record
        known = {n: r.uid for n, r in newest.items() if r.last is None or r.last.reason != Reason.DELETED}
        there = {s.metadata.name: s for s in self._cluster.snapshot().members(self._name)}
        missing = sorted(known.keys() - there.keys())
        if missing and not drop_missing:
            raise CliError(
                f"The log knows Specialists that have no object: {', '.join(missing)}.",
                "Apply their manifests first, or delete them for good with --drop-missing.",
            )
        return {n: uid for n, uid in known.items() if n in there and there[n].metadata.uid != uid}

    def _create(self, entries: list[Entry]) -> int:
        there = {d.spec.sequence for d in self._cluster.log(self._population)}
        missing = [e for e in entries if e.sequence not in there]
        for each in missing:
            spec = DecisionSpec.model_validate(each, from_attributes=True)
            self._cluster.create_decision(decision_object(spec, self._population.metadata.uid))
        return len(missing)

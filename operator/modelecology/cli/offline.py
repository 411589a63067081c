"""The only place of the CLI that reads a store: what verdicts were made from, and the copy of a log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from modelecology.api.population import Population
from modelecology.governance.chain import entry_of_line
from modelecology.governance.log import Entry, LogBroken
from modelecology.governance.plain import Unreadable
from modelecology.governance.segments import Keys
from modelecology.governance.situations import Inputs, inputs_of
from modelecology.governance.verify import Copy
from modelecology.store import (
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactStore,
    KeyUnusable,
    S3Access,
    StoreError,
)
from modelecology.store.logs import StoredLog, Whose, stored_logs

from .port import CliError


class NotReplayable(CliError):
    """What a verdict was made from is not there, or is not what was kept."""


class Offline:
    """A store, seen from here. Nothing is written to it."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    @classmethod
    def open(cls, population: Population, uri: str | None) -> Offline:
        """Open a population's store, or where it can be read from here. Raises CliError."""
        access = S3Access.from_environment(os.environ)
        s3 = population.spec.store.s3
        if s3 is not None:
            access = replace(access, endpoint=s3.endpoint or access.endpoint, region=s3.region)
        with _told():
            return cls(ArtifactStore.open(uri or population.spec.store.uri, access))

    def inputs(self, digest: str) -> Inputs:
        """Read what a verdict was made from. Raises NotReplayable, CliError."""
        try:
            with _told():
                return inputs_of(digest, self._store.inputs.read)
        except (ArtifactMissing, ArtifactCorrupt) as error:
            raise NotReplayable(str(error)) from error
        except Unreadable as error:
            remedy = "Use the kubectl-ecology of the operator's version."
            raise NotReplayable(f"The inputs {digest[:19]} cannot be read: {error}.", remedy) from error

    def kept_inputs(self) -> frozenset[str]:
        """List the digests of all inputs in the store. Raises CliError."""
        with _told():
            return self._store.inputs.listed()

    def log(self, uid: str) -> StoredLog:
        """Open the copy of a log."""
        return StoredLog(self._store.files, uid)

    def older(self, uid: str, sequence: int) -> list[Entry]:
        """Read the decisions before one. Raises LogBroken, CliError."""
        with reading():
            lines = islice(self.log(uid).lines(), sequence - 1)
            return [entry_of_line(line, "a decision of the store") for line in lines]

    def copy(self, uid: str) -> Copy:
        """Give what the store keeps of a log, to be verified. Raises CliError."""
        log = self.log(uid)
        with _told():
            contents = log.contents()
        return Copy(log.sealed(contents), contents.entries, log.line, uid)

    def logs_of(self, namespace: str, population: str) -> tuple[Whose, ...]:
        """List the logs of populations of a name. Raises CliError."""
        with _told():
            found = stored_logs(self._store.files)
        return tuple(w for w in found if (w.namespace, w.population) == (namespace, population))


def keys_in(files: Iterable[Path]) -> Keys | None:
    """Read public keys; None where no file is named. Raises CliError."""
    from modelecology.store.signing import public_keys  # only here: it takes longer than most commands

    try:
        return public_keys(files) or None
    except KeyUnusable as error:
        raise CliError(str(error), "Make one with: openssl pkey -in PRIVATE.pem -pubout") from error


@contextmanager
def _told() -> Iterator[None]:
    """Tell the store's errors as a command's; those about one file stay what they are."""
    try:
        yield
    except (ArtifactMissing, ArtifactCorrupt):
        raise
    except StoreError as error:
        remedy = "Say with --store where the store can be read from here."
        raise CliError(str(error), remedy) from error


@contextmanager
def reading() -> Iterator[None]:
    """Read a log with the store's errors told as a command's. Raises LogBroken, CliError."""
    try:
        with _told():
            yield
    except (ArtifactMissing, ArtifactCorrupt) as error:
        raise LogBroken(str(error)) from error

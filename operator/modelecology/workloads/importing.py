"""Admits an adapter that was trained elsewhere. No torch here: nothing of it is loaded.

What it was trained on is not known, so an import is not checked against the sealed suite.
"""

from __future__ import annotations

from pathlib import Path

from modelecology.jobs.intents import ImportIntent
from modelecology.store import ArtifactStore, Commit, PlaceNotFound, directory_digest
from modelecology.workloads.adapter import CONFIG, WEIGHTS, check_adapter, check_files, normalised_config
from modelecology.workloads.base import checked_base, linear_shapes
from modelecology.workloads.errors import ArtifactDigestMismatch, ArtifactNotFound
from modelecology.workloads.meter import Meter


def import_adapter(intent: ImportIntent, store: ArtifactStore, meter: Meter) -> Commit:
    """Copy the adapter into the store, check the copy, and commit it with a normalised config.

    The copy is what is digested and checked, so nobody can change the files in between. Raises
    ArtifactNotFound, ArtifactDigestMismatch, AdapterUnsound and the Base and Store errors.
    """
    ready = store.commit_of(intent.key)
    if ready is not None:
        store.verify(intent.key)
        return ready
    ref = intent.artifact
    linears = linear_shapes(checked_base(intent.base, store.places))
    try:
        source = store.places.directory(ref.uri, ref.digest)
        if not source.is_dir():
            raise PlaceNotFound(f"{source} is not a directory.")
        check_files(source)
        content = {name: (source / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    except (PlaceNotFound, OSError) as error:
        raise ArtifactNotFound(f"The adapter {ref.uri} cannot be read: {error} Mend the uri.") from error
    with store.begin(intent.key) as attempt:
        for name, some in content.items():
            attempt.write(name, some)
        found = directory_digest(attempt.path)
        if found != ref.digest:
            raise ArtifactDigestMismatch(
                f"The adapter {ref.uri} has digest {found}, not {ref.digest}; mend the files or the digest."
            )
        shape = check_adapter(Path(attempt.path), linears, intent.max_rank)
        attempt.write(CONFIG, normalised_config(shape))
        return attempt.commit(
            "Import",
            {
                "digest": directory_digest(attempt.path),
                "imported": ref.digest,
                "base": intent.base.digest,
                "parents": [],
                "rank": shape.rank,
                "lora": {"rank": shape.rank, "alpha": shape.alpha, "targets": list(shape.targets)},
                "specialist": intent.specialist,
                "code": intent.code,
            },
            meter.cost(),
        )

"""A key's marker: the one object that says which attempt counts, and whether it is in use.

Every change of an artifact's standing is one conditional write of this one object, so there is no state
between two. A deletion marks first, removes the files, and removes the marker last: whoever finds the mark
goes on where the other was stopped, and nobody commits meanwhile.
"""

from __future__ import annotations

from modelecology.store.errors import StoreUnavailable
from modelecology.store.files import LARGEST_RECORD, Files
from modelecology.store.records import Marker, Standing, dump_marker, load_marker

MARKER = "commit.json"
_TRIES = 5


def marker_place(key: str) -> str:
    """Give the marker's place."""
    return f"artifacts/{key}/{MARKER}"


def read_marker(files: Files, key: str) -> tuple[Marker, str] | None:
    """Read a marker and its stamp; raises ArtifactCorrupt, StoreUnavailable."""
    seen = files.look(marker_place(key), limit=LARGEST_RECORD)
    return None if seen is None else (load_marker(key, seen.content or b""), seen.stamp)


def change_marker(files: Files, key: str, marker: Marker, stamp: str) -> bool:
    """Replace the marker of this stamp; False when somebody else changed it meanwhile."""
    return files.swap(marker_place(key), dump_marker(marker), stamp)


def turn(files: Files, key: str, standing: Standing) -> Marker | None:
    """Bring a key to a standing and give its marker; one that is being deleted stays so.

    None where there is no marker. Raises ArtifactCorrupt, StoreUnavailable.
    """
    for _ in range(_TRIES):
        seen = read_marker(files, key)
        if seen is None:
            return None
        marker, stamp = seen
        if marker.standing in (standing, Standing.DELETING):
            return marker
        if change_marker(files, key, Marker(standing, marker.commit), stamp):
            return Marker(standing, marker.commit)
    raise StoreUnavailable(f"Artifact {key[:12]} is being changed by somebody else; try again.")


def erase(files: Files, key: str, attempt: str = "") -> int:
    """Remove all of a key, or the commit of one attempt; returns the bytes that were freed.

    Raises ArtifactCorrupt, StoreUnavailable.
    """
    if attempt:
        if not _mark_only(files, key, attempt):
            return files.remove(f"artifacts/{key}/{attempt}")
    elif turn(files, key, Standing.DELETING) is None:
        if not _parts(files, key):
            files.tidy(f"artifacts/{key}")
            return 0
        if not files.create(marker_place(key), dump_marker(Marker(Standing.DELETING, None))):
            raise StoreUnavailable(f"Artifact {key[:12]} was committed while it was deleted; try again.")
    # Nothing is removed but under the mark, which keeps every commit away until it is removed itself.
    freed = sum(files.remove(f"artifacts/{key}/{part}") for part in _parts(files, key))
    seen = read_marker(files, key)
    if seen is not None and seen[0].standing is not Standing.DELETING:
        # Another has ended this deletion, and somebody committed anew since then.
        return freed
    freed += files.remove(marker_place(key))
    files.tidy(f"artifacts/{key}")
    return freed


def _mark_only(files: Files, key: str, attempt: str) -> bool:
    """Mark a key as being deleted if this very attempt is its commit; says whether it is marked.

    What is marked is the version that was judged: another attempt's commit must never be taken for it.
    """
    for _ in range(_TRIES):
        seen = read_marker(files, key)
        if seen is None or seen[0].commit is None or seen[0].commit.attempt != attempt:
            return False
        marker, stamp = seen
        if marker.standing is Standing.DELETING:
            return True
        if change_marker(files, key, Marker(Standing.DELETING, marker.commit), stamp):
            return True
    raise StoreUnavailable(f"Artifact {key[:12]} is being changed by somebody else; try again.")


def _parts(files: Files, key: str) -> list[str]:
    """List what there is of a key beside its marker."""
    found = {name.partition("/")[0] for name, _entry in files.scan(f"artifacts/{key}")}
    return sorted(found - {MARKER})

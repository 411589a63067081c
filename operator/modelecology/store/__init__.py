"""Content-addressed artifacts: executed at least once, in effect exactly once."""

from modelecology.store.artifacts import Absence, ArtifactStore, Attempt
from modelecology.store.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    PlaceNotFound,
    StoreError,
    StoreFormatUnknown,
    StoreFull,
    StoreUnavailable,
)
from modelecology.store.places import directory_digest, file_digest, resolve
from modelecology.store.records import (
    ArtifactKind,
    Commit,
    Cost,
    Manifest,
    Progress,
    StoredFile,
    bytes_digest,
)

__all__ = [
    "Absence",
    "ArtifactCorrupt",
    "ArtifactKind",
    "ArtifactMissing",
    "ArtifactStore",
    "Attempt",
    "Commit",
    "Cost",
    "Manifest",
    "PlaceNotFound",
    "Progress",
    "StoreError",
    "StoreFormatUnknown",
    "StoreFull",
    "StoreUnavailable",
    "StoredFile",
    "bytes_digest",
    "directory_digest",
    "file_digest",
    "resolve",
]

"""Content-addressed artifacts: executed at least once, in effect exactly once."""

from modelecology.store.artifacts import Absence, ArtifactStore
from modelecology.store.attempts import Attempt
from modelecology.store.digests import directory_digest, file_digest
from modelecology.store.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    KeyUnusable,
    PlaceNotFound,
    StoreError,
    StoreFormatUnknown,
    StoreFull,
    StoreUnavailable,
)
from modelecology.store.places import Places
from modelecology.store.records import (
    ArtifactKind,
    Commit,
    Cost,
    Manifest,
    Progress,
    StoredFile,
    bytes_digest,
)
from modelecology.store.s3 import JOB_PATIENCE_SECONDS, S3Access

__all__ = [
    "JOB_PATIENCE_SECONDS",
    "Absence",
    "ArtifactCorrupt",
    "ArtifactKind",
    "ArtifactMissing",
    "ArtifactStore",
    "Attempt",
    "Commit",
    "Cost",
    "KeyUnusable",
    "Manifest",
    "PlaceNotFound",
    "Places",
    "Progress",
    "S3Access",
    "StoreError",
    "StoreFormatUnknown",
    "StoreFull",
    "StoreUnavailable",
    "StoredFile",
    "bytes_digest",
    "directory_digest",
    "file_digest",
]

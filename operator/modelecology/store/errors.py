"""What can go wrong with the store, and whether trying again can help.

StoreError
+-- StoreFull            no space left; retry after somebody freed some
+-- StoreUnavailable     root or bucket missing, not writable, refused or out of reach; retry
+-- StoreFormatUnknown   written by a newer version; no retry
+-- ArtifactMissing      no committed artifact of this key
+-- ArtifactCorrupt      bytes differ from what was committed
+-- FileTooLarge         a file has more bytes than are read at once
+-- PlaceNotFound        a data, base or artifact uri leads nowhere or where it must not
+-- KeyUnusable          a file that is to hold a key of the log holds none; retry after it does
"""

from __future__ import annotations

from typing import ClassVar

from modelecology.api.reasons import Reason


class StoreError(Exception):
    """Base of every store error: the `reason` that users see, and whether a `retry` can help."""

    reason: ClassVar[Reason] = Reason.INTERNAL_ERROR
    retry: ClassVar[bool] = False


class StoreFull(StoreError):
    """No space is left in the store, or where a copy of it is to lie."""

    reason = Reason.STORE_FULL
    retry = True


class StoreUnavailable(StoreError):
    """The store's root or bucket cannot be read or written now."""

    reason = Reason.STORE_UNAVAILABLE
    retry = True


class StoreFormatUnknown(StoreError):
    """The store was written by a newer version."""

    reason = Reason.STORE_FORMAT_UNKNOWN


class ArtifactMissing(StoreError):
    """The store has no committed artifact of this key."""

    reason = Reason.ARTIFACT_MISSING


class ArtifactCorrupt(StoreError):
    """Stored bytes are not those that were committed."""

    reason = Reason.ARTIFACT_CORRUPT


class FileTooLarge(StoreError):
    """A file is larger than anything of its kind has a reason to be, so it is not read."""

    reason = Reason.STORE_UNAVAILABLE


class PlaceNotFound(StoreError):
    """A uri leads to nothing, or to something that may not be read."""

    reason = Reason.DATA_NOT_FOUND


class KeyUnusable(StoreError):
    """A file that is to hold a key is missing, or holds none that can be used."""

    retry = True

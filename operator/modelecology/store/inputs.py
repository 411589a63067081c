"""What verdicts were made from: files that are named by their digest, created once and never changed.

inputs/<64 hex>.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from modelecology.store.errors import ArtifactCorrupt, ArtifactMissing
from modelecology.store.files import Files
from modelecology.store.records import bytes_digest

FOLDER = "inputs"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REMEMBERED = 4096


class KeptInputs:
    """The inputs in one store."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._there: dict[str, None] = {}  # digests of what was written before

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep files under their digests, in their order; what is there already is left.

        Raises StoreFull, StoreUnavailable, ArtifactCorrupt for one that is there with other bytes.
        """
        self._files.prepare(FOLDER)
        for digest, content in files.items():
            if digest in self._there:
                continue
            if not self._files.create(_place(digest), content):
                self.read(digest)
            self._there[digest] = None
            while len(self._there) > _REMEMBERED:
                del self._there[next(iter(self._there))]

    def read(self, digest: str) -> bytes:
        """Read a file; raises ArtifactMissing, ArtifactCorrupt, StoreUnavailable."""
        seen = self._files.look(_place(digest))
        if seen is None:
            raise ArtifactMissing(f"The inputs {digest[:19]} are not in the store.")
        content = seen.content or b""
        if bytes_digest(content) != digest:
            raise ArtifactCorrupt(f"The inputs {digest[:19]} were changed; restore {_place(digest)}.")
        return content

    def listed(self) -> frozenset[str]:
        """List the digests of all that is kept. Raises StoreUnavailable."""
        names = (name.removesuffix(".json") for name, _entry in self._files.scan(FOLDER))
        return frozenset(f"sha256:{name}" for name in names if _DIGEST.fullmatch(f"sha256:{name}"))


def _place(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"a digest is sha256: and 64 hex digits, not {digest!r}")
    return f"{FOLDER}/{digest.removeprefix('sha256:')}.json"

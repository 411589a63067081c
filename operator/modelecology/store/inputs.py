"""What verdicts were made from: files that are named by their digest, created once and never changed.

inputs/<64 hex>.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from modelecology.store.errors import ArtifactCorrupt, ArtifactMissing
from modelecology.store.files import Files
from modelecology.store.records import bytes_digest

FOLDER = "inputs"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REMEMBERED = 4096
_AT_ONCE = 8


class KeptInputs:
    """The inputs in one store."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._there: dict[str, None] = {}  # digests of what was written before

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep files under their digests; what is there already is left.

        The last one speaks of those before it, so it is written once they are there, and these at once: each
        waits for the disk, or for a bucket, and a disk makes what waits together durable in one go. Raises
        StoreFull, StoreUnavailable, ArtifactCorrupt for one that is there with other bytes.
        """
        new = [(digest, content) for digest, content in files.items() if digest not in self._there]
        if not new:
            return
        self._files.prepare(FOLDER)
        *parts, whole = new
        if parts:
            with ThreadPoolExecutor(min(_AT_ONCE, len(parts)), "inputs") as threads:
                list(threads.map(self._keep, parts))
        self._keep(whole)
        for digest, _ in new:
            self._there[digest] = None
        while len(self._there) > _REMEMBERED:
            del self._there[next(iter(self._there))]

    def _keep(self, file: tuple[str, bytes]) -> None:
        digest, content = file
        if not self._files.create(_place(digest), content):
            self.read(digest)

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

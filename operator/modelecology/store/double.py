"""A bucket in memory, and one whose requests fail, whose answers get lost, and whose clients die.

`memory_objects` is obstore's own store in memory: it keeps the conditions of a put as S3 does, so the adapter
above it is the real one. `FlakyObjects` stands between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelecology.store.object_files import PART_BYTES, PARTS_AT_ONCE, ObjectFiles, Objects
from modelecology.store.s3 import meaning_of

if TYPE_CHECKING:
    from obstore.store import MemoryStore


class Fault(Enum):
    """What happens to one request."""

    NONE = "answered"
    REFUSED = "not executed, and answered with an error"
    LOST = "executed, and the answer is lost"
    DEATH_BEFORE = "its client dies before it is sent"
    DEATH_AFTER = "its client dies before it hears the answer"


class Death(BaseException):
    """Stands for the end of the program: nothing of it runs after this."""


Plan = Callable[[str, str], Fault]
"""Says what happens to a request, given its kind (get, put, create, swap, delete, list) and its path."""


class FlakyObjects:
    """Passes requests on, but for those to which the plan lets something happen.

    After a death every further request is one too: the dead do not clean up.
    """

    def __init__(self, objects: Objects, plan: Plan) -> None:
        self._objects = objects
        self._plan = plan
        self.dead = False

    def _ask(self, kind: str, path: str, request: Callable[[], Any]) -> Any:
        from obstore.exceptions import GenericError

        fault = Fault.DEATH_BEFORE if self.dead else self._plan(kind, path)
        if fault is Fault.DEATH_BEFORE:
            self.dead = True
            raise Death
        if fault is Fault.REFUSED:
            raise GenericError("status code: 503 Service Unavailable: <Code>SlowDown</Code>")
        answer = request()
        if fault is Fault.LOST:
            raise GenericError("error sending request; kind: Timeout")
        if fault is Fault.DEATH_AFTER:
            self.dead = True
            raise Death
        return answer

    def get(self, path: str, *, options: Any = None) -> Any:
        """Read an object."""
        return self._ask("get", path, lambda: self._objects.get(path, options=options))

    def put(
        self,
        path: str,
        file: Any,
        *,
        mode: Any = None,
        use_multipart: bool | None = None,
        chunk_size: int = PART_BYTES,
        max_concurrency: int = PARTS_AT_ONCE,
    ) -> Any:
        """Write an object."""
        kind = "create" if mode == "create" else "swap" if mode is not None else "put"
        return self._ask(
            kind, path, lambda: self._objects.put(path, file, mode=mode, use_multipart=use_multipart)
        )

    def delete(self, paths: Any) -> None:
        """Remove objects, one request each."""
        for path in paths:
            self._ask("delete", path, lambda path=path: self._objects.delete([path]))  # type: ignore[misc]  # a loop's variable

    def list(self, prefix: str | None = None, *, offset: str | None = None, chunk_size: int = 1000) -> Any:
        """List objects, in one request."""
        return self._ask(
            "list",
            prefix or "",
            lambda: list(self._objects.list(prefix, offset=offset, chunk_size=chunk_size)),
        )


def memory_objects() -> MemoryStore:
    """Make an empty bucket in memory."""
    from obstore.store import MemoryStore

    return MemoryStore()


def object_files(objects: Objects, scratch: Path) -> ObjectFiles:
    """Give the files of a bucket that is only pretended, with attempts worked on below `scratch`."""
    return ObjectFiles(
        objects,
        "s3://memory",
        lambda error, doing: meaning_of(error, doing, "memory", "memory"),
        lambda: scratch,
    )

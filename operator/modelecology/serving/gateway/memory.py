"""The memory that requests take while they run: a few large ones must not take all that a gateway has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .refusal import unavailable


class Memory:
    """What all requests have taken, about; `most` is in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """One request's part, which is given back when it ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self._taken -= share.size

    def change(self, old: int, new: int) -> None:
        """Let a part grow or shrink. Raises Refusal if others leave no room for it."""
        others = self._taken - old
        # Alone even the largest is let in, or it never would be.
        if others and others + new > self._most:
            raise unavailable("The requests that run take all of the memory. Try again in a moment.")
        self._taken = others + new


class Share:
    """One request's part. `size` is in bytes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.size = 0

    def take(self, size: int) -> None:
        """Say how much it is from now on. Raises Refusal."""
        self._memory.change(self.size, size)
        self.size = size


def memory_of(raw: bytes) -> int:
    """Say how many bytes of memory a body takes while it is answered, about, and rather more than fewer.

    Itself, what it is read as, and what is sent on. Measured: many empty lists are read as 21 times what they
    are written as, small objects as 24 times, and a text with one wide character as 4 times.
    """
    return 8 * len(raw) + 80 * (raw.count(b",") + raw.count(b"[")) + 256 * raw.count(b"{")

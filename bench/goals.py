"""Tables and goals, printed as they come; what was missed is remembered for the end."""

from __future__ import annotations

from collections.abc import Iterable

from bench.figures import Spread

NAME, CELL = 42, 23  # columns


class Goals:
    """Prints rows, and whether what was seen meets what was wanted."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def title(self, text: str) -> None:
        """Begin a part."""
        print(f"\n{text}\n{'-' * len(text)}", flush=True)

    def row(self, name: str, *cells: str) -> None:
        """Print a line of a table."""
        print((f"{name:<{NAME}}" + "".join(f"{cell:>{CELL}}" for cell in cells)).rstrip(), flush=True)

    def goal(self, name: str, seen: str, met: bool) -> None:
        """Print a goal and whether it was met."""
        print(f"{'met   ' if met else 'MISSED'}  {name}: {seen}", flush=True)
        if not met:
            self.missed.append(name)

    def end(self) -> None:
        """Print what was missed."""
        print("Missed: " + "; ".join(self.missed) if self.missed else "Every goal is met.")


def percent(values: Iterable[float]) -> str:
    """Least, middle and greatest of some shares, in percent."""
    return Spread.of(100 * value for value in values).text(1)

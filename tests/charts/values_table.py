"""`python -m tests.charts.values_table`: write the charts' tables of values into their READMEs.

The comments in values.yaml are the source: one that begins with `# --` is about the key below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .helm import OPERATOR, POPULATION

COMMAND = "python -m tests.charts.values_table"
_BEGIN = "<!-- values: rendered from values.yaml -->"
_END = "<!-- end of values -->"
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Documented:
    """A value, by its dotted path, and what values.yaml says of it."""

    path: str
    default: Any
    meaning: str


def documented(chart: Path) -> list[Documented]:
    """Every value that has a comment, in the order of the file."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    return [Documented(path, _at(values, path), meaning) for path, meaning in _comments(text)]


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """The path of everything in values that is no map, or an empty one."""
    if isinstance(values, dict) and values:
        for key, child in values.items():
            yield from leaves(child, f"{path}.{key}".lstrip("."))
    else:
        yield path


def table(chart: Path) -> str:
    """Render the table."""
    rows = [f"| `{d.path}` | {_short(d.default)} | {d.meaning} |" for d in documented(chart)]
    return "\n".join([_BEGIN, "", "| value | default | meaning |", "|---|---|---|", *rows, "", _END])


def with_table(chart: Path) -> str:
    """Give the README as it should be."""
    readme = (chart / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(_BEGIN)
    return before + table(chart) + rest.split(_END)[1]


def _comments(text: str) -> Iterator[tuple[str, str]]:
    parents: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        comment = line.strip()
        if comment.startswith("# -- "):
            said = [comment.removeprefix("# -- ")]
        elif comment.startswith("#") and said:
            said.append(comment.removeprefix("#").strip())
        elif found := _KEY.match(line):
            indent = len(found[1])
            parents = [(i, name) for i, name in parents if i < indent] + [(indent, found[2])]
            if said:
                yield ".".join(name for _, name in parents), " ".join(said).replace("|", "\\|")
            said = []
        else:
            said = []


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def _short(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST else "see `values.yaml`"


if __name__ == "__main__":
    for each in (OPERATOR, POPULATION):
        (each / "README.md").write_text(with_table(each), encoding="utf-8")

"""Reading manifests: YAML as kubectl reads it, with the line of every field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TextIO

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .findings import Finding, Path, Place, Severity

_SUFFIXES = (".yaml", ".yml", ".json")
# A few aliases can stand for billions of nodes; no honest manifest has this many.
_NODE_LIMIT = 200_000
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Resolves scalars as kubectl does where PyYAML differs: 1e-3 is a number, 12:30 and dates are text."""


_DIFFERENT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in _DIFFERENT]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    octal = re.match(r"^([-+]?)0([0-7]+)$", plain)
    return int(octal[1] + octal[2], 8) if octal else int(plain, 0)


class Unreadable(Exception):
    """A file that is no YAML, with the place where reading ended."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.message = message
        self.place = place


@dataclass(frozen=True, slots=True)
class Document:
    """One Kubernetes object of a file."""

    file: str
    value: Mapping[str, Any]
    marks: Mapping[Path, tuple[int, int]]
    root: Path = ()
    repeated: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """The kind, or nothing when the document does not say."""
        return str(self.value.get("kind") or "")

    @property
    def api_version(self) -> str:
        """The API version, or nothing when the document does not say."""
        return str(self.value.get("apiVersion") or "")

    @property
    def name(self) -> str:
        """The object's name, or nothing."""
        return self._metadata("name")

    @property
    def namespace(self) -> str:
        """The namespace it names, or nothing."""
        return self._metadata("namespace")

    @property
    def subject(self) -> str:
        """How findings name it: Specialist/dates."""
        return f"{self.kind or 'document'}/{self.name}" if self.name else self.kind or "document"

    def place(self, path: Path = ()) -> Place:
        """Find the line of a field, or of the nearest part around it that stands in the file."""
        full = self.root + path
        while full not in self.marks and full:
            full = full[:-1]
        line, column = self.marks.get(full, (1, 1))
        return Place(self.file, line, column)

    def _metadata(self, key: str) -> str:
        metadata = self.value.get("metadata")
        return str(metadata.get(key) or "") if isinstance(metadata, Mapping) else ""


@dataclass(slots=True)
class _Walk:
    """Turns nodes into values, and remembers where each one stands."""

    loader: _Loader
    file: str
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    repeated: list[Path] = field(default_factory=list)
    open_nodes: set[int] = field(default_factory=set)
    count: int = 0

    def value(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > _NODE_LIMIT or id(node) in self.open_nodes:
            raise Unreadable(
                "its aliases refer to themselves, or stand for too much", _place(self.file, node)
            )
        self.marks.setdefault(path, _line(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self.open_nodes.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return self._mapping(node, path)
        finally:
            self.open_nodes.discard(id(node))

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:int":
            return _integer(node.value)
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise Unreadable(f"{node.value!r} cannot be read", _place(self.file, node)) from error

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        # Merged fields come first, so that the mark of a field's own line wins.
        for key_node, child in node.value:
            if key_node.tag == _MERGE:
                merged |= self._merged(child, path)
        for key_node, child in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, ScalarNode):
                raise Unreadable("a field's name must be text", _place(self.file, key_node))
            key = str(key_node.value)
            if key in own:
                self.repeated.append((*path, key))
            self.marks[(*path, key)] = _line(key_node)
            own[key] = self.value(child, (*path, key))
        return merged | own

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        out: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, MappingNode):
                raise Unreadable("<< takes mappings only", _place(self.file, part))
            out |= self.value(part, path)
        return out


def read(names: list[str], stdin: TextIO) -> tuple[list[Document], list[Finding]]:
    """Read all documents of files, directories (their YAML and JSON files) or `-` (standard input)."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for name in _expanded(names):
        try:
            text = stdin.read() if name == "-" else FilePath(name).read_text(encoding="utf-8")
            documents.extend(parse(text, "stdin" if name == "-" else name))
        except Unreadable as error:
            remedy = "Mend the YAML there; the rest of this file was not checked."
            findings.append(Finding(Severity.ERROR, error.place, "file", "", f"{error.message}.", remedy))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            message = f"it cannot be read: {why}."
            findings.append(
                Finding(Severity.ERROR, Place(name, 1), "file", "", message, "Name a readable file.")
            )
    return documents, findings


def _expanded(names: list[str]) -> Iterator[str]:
    for name in names:
        if name != "-" and FilePath(name).is_dir():
            yield from (str(p) for p in sorted(FilePath(name).iterdir()) if p.suffix in _SUFFIXES)
        else:
            yield name


def parse(text: str, file: str) -> list[Document]:
    """Parse one file's text, with one document or many; raises `Unreadable`."""
    loader = _Loader(text)
    documents: list[Document] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            documents.extend(_document(loader, file, node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file, 1)
        raise Unreadable(f"this is not YAML: {error.problem or error.context}", place) from error
    except yaml.YAMLError as error:
        raise Unreadable(f"this is not YAML: {error}", Place(file, 1)) from error
    finally:
        loader.dispose()
    return documents


def _document(loader: _Loader, file: str, node: Node) -> Iterator[Document]:
    walk = _Walk(loader, file)
    value = walk.value(node, ())
    if value is None:
        return
    if not isinstance(value, dict):
        raise Unreadable("a document must be a Kubernetes object", _place(file, node))
    repeated = tuple(walk.repeated)
    items = value.get("items")
    if value.get("kind") != "List" or not isinstance(items, list):
        yield Document(file, value, walk.marks, (), repeated)
        return
    for index, item in enumerate(items):
        if isinstance(item, dict):
            root: Path = ("items", index)
            inside = tuple(p[len(root) :] for p in repeated if p[: len(root)] == root)
            yield Document(file, item, walk.marks, root, inside)


def _line(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _place(file: str, node: Node) -> Place:
    return Place(file, *_line(node))

"""Entries as lines, and a fast look at whole logs: places, chain, digests and legal transitions.

A line is one JSON object of two members, `{"body":<canonical bytes>,"digest":"sha256:..."}`: what the digest
is of can be cut out of it, so a line is checked without being written anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from modelecology.api.vocabulary import Action, State

from .lifecycle import IllegalTransition, transition
from .log import GENESIS, Entry, LogBroken, canonical
from .plain import Codec, Unreadable

_HEAD = b'{"body":'
_MIDDLE = b',"digest":"'
_DIGEST = 71  # characters of sha256:<64 hex>
_TAIL = len(_MIDDLE) + _DIGEST + len(b'"}')
_ACTIONS = {each.value: each for each in Action}
_STATES = {each.value: each for each in State}


def _member(name: str) -> str:
    if name == "from_state":
        return "from"
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_CODEC = Codec(_member, loose=True)


def entry_of(body: Mapping[str, Any]) -> Entry:
    """Read an entry from its plain JSON, its digest included. Raises LogBroken."""
    try:
        found: Entry = _CODEC.read(Entry, dict(body))
    except (Unreadable, TypeError) as error:
        raise LogBroken(f"decision {body.get('sequence', '?')} cannot be read: {error}") from error
    return found


def line_of(entry: Entry) -> bytes:
    """Write an entry as a line, without its end."""
    return _HEAD + canonical(entry) + _MIDDLE + entry.digest.encode() + b'"}'


def parted(line: bytes, place: str) -> tuple[bytes, str]:
    """Cut a line into its canonical body and its digest. Raises LogBroken for what is no line."""
    head, middle = line[: len(_HEAD)], line[-_TAIL : -_TAIL + len(_MIDDLE)]
    if head != _HEAD or middle != _MIDDLE or line[-2:] != b'"}':
        raise LogBroken(f"{place} is not a line of a log")
    return line[len(_HEAD) : -_TAIL], line[-_DIGEST - 2 : -2].decode("ascii", "replace")


def entry_of_line(line: bytes, place: str) -> Entry:
    """Read an entry from a line whose digest was checked, or is checked by the fold. Raises LogBroken."""
    content, digest = parted(line, place)
    return entry_of({**_loaded(content, place), "digest": digest})


def _loaded(content: bytes, place: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise LogBroken(f"{place} cannot be read") from error
    if not isinstance(found, dict):
        raise LogBroken(f"{place} cannot be read")
    return found


class Chain:
    """Follows a log line by line from its beginning, and says the first break.

    It checks what the fold checks, in one pass that keeps a state a revision and nothing else: place, chain,
    digest, the name behind a uid, and that every transition is one of the table's and begins where the
    revision stood. It may begin after a decision, whose sequence and digest are given.
    """

    def __init__(self, sequence: int = 0, digest: str = GENESIS) -> None:
        self.sequence = sequence
        self.digest = digest
        self.population = ""
        self._states: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        self._edges: set[tuple[str, str, str]] = set()

    def follow(self, line: bytes) -> dict[str, Any]:
        """Take one more line and give its body. Raises LogBroken with the first break."""
        place = f"decision {self.sequence + 1}"
        content, digest = parted(line, place)
        if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
            raise LogBroken(f"{place} was changed: its digest does not match its body")
        body = _loaded(content, place)
        try:
            self._step(body, place)
        except (KeyError, TypeError, AttributeError) as error:
            raise LogBroken(f"{place} cannot be read: {error}") from error
        self.sequence += 1
        self.digest = digest
        return body

    def _step(self, body: dict[str, Any], place: str) -> None:
        if body["sequence"] != self.sequence + 1:
            raise LogBroken(f"{place} is missing or forked: decision {body['sequence']} is in its place")
        if body["previous"] != self.digest:
            raise LogBroken(f"{place} does not name the digest of the one before it")
        if body["population"] != (self.population or body["population"]):
            raise LogBroken(f"{place} is of population {body['population']}, not {self.population}")
        self.population = body["population"]
        self._check_edge(body["action"], body["from"], body["to"], place)
        subject = body["subject"]
        name = self._names.setdefault(subject["uid"], subject["specialist"])
        if name != subject["specialist"]:
            raise LogBroken(f"{place} calls {subject['uid']} {subject['specialist']}, which is {name}")
        key = (subject["uid"], subject["revision"])
        stood = self._states.get(key, body["from"])
        if stood != body["from"]:
            raise LogBroken(f"{place} takes {name} from {body['from']}, but it is {stood}")
        self._states[key] = body["to"]

    def _check_edge(self, action: str, source: str, target: str, place: str) -> None:
        edge = (action, source, target)
        if edge in self._edges:
            return
        try:
            transition(_ACTIONS[action], _STATES[source], _STATES[target])
        except (IllegalTransition, KeyError) as error:
            raise LogBroken(f"{place}: {error}") from error
        self._edges.add(edge)

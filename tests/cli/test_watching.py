"""Watches, over a server that the test plays."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest

from modelecology.cli.port import ClusterError
from modelecology.cli.watching import Items, Watching

END = object()


def item(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


class Stream:
    """One watch's response; the test feeds it events, and ends it with END or an error."""

    def __init__(self) -> None:
        self.feed: queue.Queue[object] = queue.Queue()

    def event(self, kind: str, thing: dict[str, Any]) -> None:
        self.feed.put(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    def stream(self, amt: int | None, decode_content: bool) -> Iterator[bytes]:
        assert amt is None
        assert not decode_content
        while (piece := self.feed.get(timeout=10)) is not END:
            if isinstance(piece, Exception):
                raise piece
            assert isinstance(piece, bytes)
            # A line comes in pieces, as the network likes it.
            yield piece[:7]
            yield piece[7:]

    def shutdown(self) -> None:
        self.feed.put(END)

    def close(self) -> None:
        return


class Server:
    """Lists what it is told to, and notes the version every watch begins at."""

    def __init__(self, *lists: Items | ClusterError) -> None:
        self.lists = list(lists)
        self.streams = [Stream(), Stream(), Stream()]
        self.opened: list[str] = []

    def list(self, plural: str) -> tuple[Items, str]:
        found = self.lists.pop(0)
        if isinstance(found, ClusterError):
            raise found
        return found, f"listed-{plural}"

    def open(self, _: str, version: str, seconds: int) -> Stream:
        assert seconds > 0
        self.opened.append(version)
        return self.streams[len(self.opened) - 1]


def names(found: tuple[dict[str, Items], str]) -> list[str]:
    return [entry["metadata"]["name"] for entry in found[0]["specialists"]]


def test_changes_and_deletions_come_as_they_are_sent() -> None:
    server = Server([item("a", "1")])
    with Watching(server.list, server.open, ("specialists",)) as watching:
        rounds = watching.rounds(5.0)
        assert names(next(rounds)) == ["a"]
        server.streams[0].event("ADDED", item("b", "2"))
        assert names(next(rounds)) == ["a", "b"]
        server.streams[0].event("DELETED", item("a", "3"))
        assert names(next(rounds)) == ["b"]
        server.streams[0].feed.put(END)
        server.streams[1].event("MODIFIED", item("b", "4"))
        assert names(next(rounds)) == ["b"]
    assert server.opened == ["listed-specialists", "3"]


def test_a_quiet_watch_still_gives_a_round_for_the_ages() -> None:
    server = Server([item("a", "1")])
    with Watching(server.list, server.open, ("specialists",)) as watching:
        rounds = watching.rounds(0.01)
        assert [names(next(rounds)) for _ in range(3)] == [["a"]] * 3


def test_a_version_that_is_too_old_leads_to_a_new_list() -> None:
    server = Server([item("a", "1")], [item("c", "9")])
    with Watching(server.list, server.open, ("specialists",)) as watching:
        rounds = watching.rounds(5.0)
        assert names(next(rounds)) == ["a"]
        server.streams[0].event("ERROR", {"code": 410, "message": "too old"})
        assert names(next(rounds)) == ["c"]


def test_a_watch_that_breaks_off_is_told_and_mended() -> None:
    server = Server([item("a", "1")], [item("c", "9")])
    with Watching(server.list, server.open, ("specialists",)) as watching:
        rounds = watching.rounds(5.0)
        next(rounds)
        server.streams[0].feed.put(OSError("reset"))
        assert next(rounds)[1] == "The watch of specialists broke off: OSError."
        assert names(mended := next(rounds)) == ["c"]
        assert mended[1] == ""


def test_a_first_list_that_fails_ends_the_watch_with_its_reason() -> None:
    server = Server(ClusterError("You may not list specialists.", "Ask."))
    with (
        Watching(server.list, server.open, ("specialists",)) as watching,
        pytest.raises(ClusterError, match="You may not"),
    ):
        next(watching.rounds(5.0))

"""A population behind a gateway: its table as a gateway reads it, and what a gateway would write down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from modelecology.api.live_records import (
    Answered,
    Arm,
    Exchange,
    Feedback,
    LiveRecord,
    Preference,
    Usage,
    Used,
    write_line,
)
from modelecology.api.routing import RoutingTable, TaskRoute, read_table
from modelecology.kube.double import CONFIG_MAP

from .stage import NAMESPACE, Object, Stage

TABLE = "desk-routes"
_HASH = "0" * 64
_MINUTE = 60.0
_SEGMENT = "live-20260301T120000-000001-g.jsonl.part"


def desk(stage: Stage, gateway: Object | None = None, **policy: Any) -> Object:
    """The population with a gateway."""
    body: Object = stage.manifests.population(**policy)
    body["spec"]["serving"]["gateway"] = gateway or {}
    return body


def matching(stage: Stage, name: str, task: str, *rules: Object) -> Object:
    """A specialist whose contract says which requests are of its task."""
    body: Object = stage.manifests.specialist(name, task, 0.6)
    body["spec"]["contract"]["match"] = list(rules)
    return body


def table(stage: Stage) -> RoutingTable:
    """Read the table as a gateway does."""
    found = stage.cluster.get(CONFIG_MAP, NAMESPACE, TABLE)
    assert found is not None
    return read_table(found["data"]["table.json"])


async def begun(stage: Stage, gateway: Object | None = None, **policy: Any) -> Gateway:
    """Bring `dates`, behind a gateway that writes records, as far as the policy lets it."""
    found = Gateway(stage)
    body = desk(stage, {"records": f"file://{found.folder}", **(gateway or {})}, **policy)
    await stage.apply(stage.manifests.suite(), body, stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle()
    return found


class Gateway:
    """Writes down what a gateway would: its counts, requests of `dates`, and what is said of the answers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._number = 0
        self.folder: Path = stage.directory / "live"
        self.folder.mkdir()

    async def count(self, hours: int, *used: Used) -> None:
        """Let hours pass, minute by minute; each hour begins with these requests."""
        for _ in range(hours):
            begun = self._stage.runtime.now().timestamp()
            for minute in range(60):
                since, counted = begun + minute * _MINUTE, used if minute == 0 else ()
                self._write(Usage(since=since, time=since + _MINUTE, population="desk", used=counted))
            await self._stage.pass_time(timedelta(hours=1))

    def answered(self, scores: Sequence[float]) -> None:
        """Answer requests by the live revision; each is scored at once."""
        for score in scores:
            self._answer(self._served("a"), Arm.LIVE, score=score)

    def fared(
        self,
        *,
        error: str | None = None,
        seconds: float = 0.1,
        score: float | None = None,
        sampled: bool = True,
        times: int = 1,
    ) -> None:
        """Answer requests by the live revision, or fail to, each in so many seconds."""
        text = None if error else "a"
        answer = Answered(served=self._served("a").served, text=text, error=error, seconds=seconds)
        for _ in range(times):
            self._answer(answer, Arm.LIVE, score=score, sampled=sampled)

    def asked(self, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """Answer requests as canary and as who serves; each is scored at once."""
        canary = self._route.canary
        assert canary is not None
        for mine, other in zip(ours, theirs, strict=True):
            self._answer(self._served("a"), Arm.LIVE, score=other)
            self._answer(_said(canary.revision, "a"), Arm.CANARY, score=mine)

    def copied(
        self,
        pairs: Sequence[tuple[str, str]],
        label: str | None = "right",
        says: Mapping[str, int] | None = None,
    ) -> None:
        """Answer requests, each with a copy for the shadow, a label, and what judges say, by their names."""
        shadow = self._route.shadow
        assert shadow is not None
        for served, copy in pairs:
            request = self._answer(
                self._served(served), Arm.LIVE, shadow=_said(shadow.revision, copy), label=label
            )
            for judge, value in (says or {}).items():
                word = {"time": request.time, "requestId": request.request_id, "judge": judge, "value": value}
                self._write(Preference.model_validate(word))

    @property
    def _route(self) -> TaskRoute:
        (found,) = table(self._stage).routes
        return found

    def _served(self, text: str) -> Answered:
        return _said(self._route.live or "generalist", text)

    def _answer(
        self,
        answer: Answered,
        arm: Arm,
        *,
        shadow: Answered | None = None,
        score: float | None = None,
        label: str | None = None,
        sampled: bool = True,
    ) -> Exchange:
        self._number += 1
        time, name = self._stage.runtime.now().timestamp() + self._number / 1e4, f"r{self._number}"
        request = Exchange(
            time=time,
            request_id=name,
            population="desk",
            task="dates",
            table="sha256:t",
            arm=arm,
            sampled=sampled,
            prompt_sha256=_HASH,
            answer=answer,
            shadow=shadow,
        )
        self._write(request)
        if score is not None or label is not None:
            self._write(Feedback(time=time, request_id=name, score=score, label=label))
        return request

    def _write(self, *records: LiveRecord) -> None:
        with (self.folder / _SEGMENT).open("ab") as file:
            file.write(b"".join(write_line(record) for record in records))


def _said(served: str, text: str) -> Answered:
    return Answered(served=served, text=text, seconds=0.1)

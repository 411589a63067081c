"""The demo's parts as plain processes: no nodes, no pods, no root."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.demo import prepare
from testbed.demo.stage import DIRECTORY, POPULATION, Door, Stage, shown
from testbed.errors import StartFailed
from testbed.places import Progress
from testbed.stack import Parts, Stack, take_down
from testbed.waiting import holds_within

RUN = DIRECTORY / "run"
_TABLE_SECONDS = 60.0


class LocalStage(Stage):
    """Control plane, Ray, engine, operator and gateway on 127.0.0.1."""

    title = "Control plane, Ray, engine, operator, gateway"
    namespace = "default"
    token = None

    def __init__(self, store: Path, *, keep: bool, progress: Progress) -> None:
        take_down(RUN, progress)
        parts = Parts(directory=RUN, store=store, generalist=store / "generalist", population=POPULATION)
        self._stack = Stack(parts, keep=keep, progress=progress)
        self._overlay = DIRECTORY / "overlay"
        self._store = store

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def kubeconfig(self) -> Path:
        return self._stack.control_plane.kubeconfig

    @property
    def kubectl_program(self) -> Path:
        return self._stack.control_plane.kubectl_program

    @property
    def engine(self) -> str:
        return self._stack.engine

    @property
    def door(self) -> Door:
        return Door(self._stack.gateway, self._stack.gateway_token, self._store / prepare.DATA)

    def wait_for_door(self) -> None:
        if not holds_within(self._stack.gateway_has_table, _TABLE_SECONDS):
            raise StartFailed(
                f"the gateway has no routing table yet; {self._stack.log('gateway')} may say why"
            )

    @property
    def apply_title(self) -> str:
        return f"kubectl apply -k {shown(self._overlay)}"

    def kubectl(self, *arguments: str) -> str:
        return self._stack.control_plane.kubectl(f"--namespace={self.namespace}", *arguments)

    def apply(self) -> str:
        ray, engine = self._stack.ray.address, self._stack.engine
        folder = prepare.overlay(self._overlay, self._store, ray, engine, self._stack.records)
        return self.kubectl("apply", "-k", str(folder))

    def release(self) -> None:
        self._stack.release()

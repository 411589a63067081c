"""Starts a vLLM server of one base model, to which adapters are loaded at run time, and ends it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testbed.errors import AddressInUse
from testbed.identity import ProcessIdentity
from testbed.places import Progress, say
from testbed.processes import Command, Process, free_ports, start
from testbed.ray_family import MARK, end_processes, start_guard
from testbed.runs import RecordedProcess, RunState, write_state
from testbed.vllm.environment import vllm_python

_READY_SECONDS: Final = 600.0
_ASK_SECONDS: Final = 0.5
_START_TRIES: Final = 3


class VllmServer:
    """A server of the model in a directory, for at most ``adapters`` adapters of at most ``rank`` at once.

    It listens on 127.0.0.1 and asks for ``token``. It ends with its block, and with this process.
    """

    def __init__(
        self,
        model: Path,
        *,
        served_name: str = "generalist",
        adapters: int = 4,
        rank: int = 16,
        dtype: str = "bfloat16",
        length: int = 512,
        progress: Progress = say,
    ) -> None:
        self._model = model
        self._options = {
            "served-model-name": served_name,
            "host": "127.0.0.1",
            "max-loras": str(adapters),
            "max-cpu-loras": str(adapters),
            "max-lora-rank": str(rank),
            "max-model-len": str(length),
            "dtype": dtype,
        }
        self._progress = progress
        self._directory: Path | None = None
        self._server: Process | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.token = secrets.token_hex(32)

    @property
    def endpoint(self) -> str:
        """Base address, without /v1."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Install vLLM if need be, and wait until it answers. Raises BuildFailed, StartFailed."""
        python = vllm_python(self._progress)
        self._directory = Path(tempfile.mkdtemp(prefix="testbed-vllm-"))
        write_state(self._directory, RunState(owner=ProcessIdentity.of(os.getpid())))
        # Its engine is a process of its own, which a killed server leaves behind.
        self._guard = start_guard(self._directory)
        try:
            for tries_left in reversed(range(_START_TRIES)):
                try:
                    self._start_server(python)
                except AddressInUse:
                    if tries_left == 0:
                        raise
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and its engine, and remove its folder."""
        server, self._server = self._server, None
        if self._directory is not None:
            end_processes(self._directory)
            if server is not None:
                server.kill()
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate()  # closes its input, and it ends

    def _start_server(self, python: Path) -> None:
        assert self._directory is not None
        (self._port,) = free_ports(1)
        options = {**self._options, "port": str(self._port)}
        arguments = [
            *("-m", "vllm.entrypoints.cli.main", "serve", str(self._model)),
            *(f"--{name}={value}" for name, value in options.items()),
            # Without them it compiles for minutes what a test asks once.
            *("--enable-lora", "--enforce-eager"),
        ]
        command = Command(
            name="vllm",
            program=python,
            arguments=arguments,
            environment={
                MARK: str(self._directory),
                "VLLM_API_KEY": self.token,  # not an argument, which every user of the machine may read
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_CONFIG_ROOT": str(self._directory / "config"),
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                # Ours, which it must not import.
                "PYTHONPATH": "",
            },
        )
        self._progress(f"starting vLLM on {self._model}; ready in about two minutes")
        self._server = start(command, self._directory / "vllm.log")
        recorded = RecordedProcess(name="vllm", identity=self._server.identity)
        owner = ProcessIdentity.of(os.getpid())
        write_state(self._directory, RunState(owner=owner, endpoint=self.endpoint, processes=(recorded,)))
        self._server.wait_ready(self._answers, _READY_SECONDS)
        self._progress(f"vLLM answers at {self.endpoint}, to those with its token")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=_ASK_SECONDS) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False

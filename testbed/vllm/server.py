"""Starts a vLLM server of one base model, to which adapters are loaded at run time, and ends it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from testbed.places import REPOSITORY, Progress, say
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.servers import FamilyServer
from testbed.vllm.environment import vllm_python

_READY_SECONDS: Final = 600.0


class VllmServer(FamilyServer):
    """A server of the model in a directory, for at most ``adapters`` adapters of at most ``rank`` at once.

    It listens on 127.0.0.1 and asks for ``token``. The first start installs vLLM, and may raise BuildFailed.
    """

    title = "vLLM"

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
        super().__init__(progress)
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
        self._python = Path()
        self._port = 0
        self.token = secrets.token_hex(32)

    @property
    def endpoint(self) -> str:
        """Base address, without /v1."""
        return f"http://127.0.0.1:{self._port}"

    def _prepare(self) -> None:
        self._python = vllm_python(self._progress)
        super()._prepare()

    def _take_ports(self) -> None:
        (self._port,) = free_ports(1)

    def _serve(self) -> None:
        options = {**self._options, "port": str(self._port)}
        arguments = [
            *("-m", "vllm.entrypoints.cli.main", "serve", str(self._model)),
            *(f"--{name}={value}" for name, value in options.items()),
            # Without them it compiles for minutes what a test asks once.
            *("--enable-lora", "--enforce-eager"),
            "--middleware=guard.Guard",
        ]
        command = Command(
            name="vllm",
            program=self._python,
            arguments=arguments,
            environment={
                "VLLM_API_KEY": self.token,  # not an argument, which every user of the machine may read
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_CONFIG_ROOT": str(self.directory / "config"),
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                # Not ours, which it must not import.
                "PYTHONPATH": str(REPOSITORY / "manifests/examples/gpu"),
            },
        )
        self._progress(f"starting vLLM on {self._model}; ready in about two minutes")
        self._launch(command, lambda: answers_plainly(self._port, "/health"), _READY_SECONDS)
        self._progress(f"vLLM answers at {self.endpoint}, to those with its token")

"""The processes of the gateway's bench: an engine double, and our gateway and LiteLLM's proxy before it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bench.contenders import cpu_of
from testbed.errors import StartFailed
from testbed.places import REPOSITORY
from testbed.probe import answers_plainly
from testbed.processes import Command, Process, free_ports, start

LITELLM: Final = "1.108.7"
MODEL: Final = "dates"
LIVE, SHADOW = "dates-111111111111", "dates-222222222222"

_READY_SECONDS: Final = 400.0
_INSTALL_SECONDS: Final = 600.0


@dataclass(slots=True)
class Contender:
    """One process that answers chat completions, and the model that it is asked for."""

    title: str
    model: str
    port: int
    process: Process

    def cpu(self) -> float:
        """CPU time so far, in seconds."""
        with open(f"/proc/{self.process.identity.pid}/stat", encoding="ascii") as stat:
            return cpu_of(stat.read())

    def resident(self) -> float:
        """Resident memory, in MiB."""
        # The leash that starts it becomes it, so the pid is the program's own.
        with open(f"/proc/{self.process.identity.pid}/status", encoding="ascii") as status:
            (line,) = (line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


class Stage:
    """Starts what the bench needs in a directory; everything ends with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Process] = []
        self._version = 0
        self._engine_port = 0

    def engine(self) -> Contender:
        """Start the engine double."""
        (port,) = free_ports(1)
        self._engine_port = port
        return self._start(
            "engine alone", LIVE, port, ["-m", "bench.gateway_engine", "--port", str(port)], "/"
        )

    def gateway(self) -> Contender:
        """Start our gateway before the engine."""
        (port,) = free_ports(1)
        self.publish(0.0)
        arguments = [
            *("-m", "modelecology.serving.gateway", "--population", "desk", "--port", str(port)),
            *("--routes-file", str(self._routes), "--records-dir", str(self._directory / "records")),
            *("--mirror-concurrency", "32", "--keep-mib", "64"),
        ]
        return self._start("Model Ecology", MODEL, port, arguments, "/readyz")

    def litellm(self) -> Contender:
        """Start LiteLLM's proxy before the engine. Raises StartFailed, also if it cannot be installed."""
        program = _litellm()
        (port,) = free_ports(1)
        settings = {"model": f"openai/{LIVE}", "api_base": f"http://127.0.0.1:{self._engine_port}/v1"}
        config = {
            "model_list": [{"model_name": MODEL, "litellm_params": settings | {"api_key": "none"}}],
            "litellm_settings": {"telemetry": False, "num_retries": 0, "set_verbose": False},
        }
        path = self._directory / "litellm.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        arguments = [str(program), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
        return self._start("LiteLLM", MODEL, port, arguments, "/health/liveliness", program.parent / "python")

    def publish(self, mirrored: float) -> None:
        """Give the gateway a table with this share of the requests mirrored."""
        self._version += 1
        route: dict[str, object] = {"task": MODEL, "live": LIVE}
        if mirrored:
            route["shadow"] = {"revision": SHADOW, "share": mirrored}
        table = {
            "version": self._version,
            "namespace": "bench",
            "population": "desk",
            "generalist": "generalist",
            "engines": [f"http://127.0.0.1:{self._engine_port}"],
            "routes": [route],
        }
        new = self._directory / "routes.new"
        new.write_text(json.dumps(table), encoding="utf-8")
        new.rename(self._routes)

    def close(self) -> None:
        """End everything."""
        for process in reversed(self._started):
            process.stop(10.0)

    @property
    def _routes(self) -> Path:
        return self._directory / "routes.json"

    def _start(
        self, title: str, model: str, port: int, arguments: list[str], path: str, python: Path | None = None
    ) -> Contender:
        environment = {
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}" if python is None else "",
            # LiteLLM asks the Internet for prices otherwise.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            # Our gateway asks for no token here, so theirs need not either.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        }
        name = title.lower().replace(" ", "-")
        command = Command(name, python or Path(sys.executable), arguments, environment)
        process = start(command, self._directory / f"{name}.log")
        self._started.append(process)
        process.wait_ready(lambda: answers_plainly(port, path), _READY_SECONDS)
        return Contender(title, model, port, process)


def _litellm() -> Path:
    """LiteLLM's program, in an environment of its own below the user's cache. Raises StartFailed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "modelecology-bench" / f"litellm-{LITELLM}"
    program = folder / "bin" / "litellm"
    if program.exists():
        return program
    print(f"bench: installing litellm[proxy] {LITELLM} into {folder}", file=sys.stderr, flush=True)
    uv = shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
    wanted = f"litellm[proxy]=={LITELLM}"
    try:
        for line in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), wanted],
        ):
            subprocess.run(line, check=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StartFailed(f"litellm[proxy] {LITELLM} cannot be installed: {error}") from error
    return program

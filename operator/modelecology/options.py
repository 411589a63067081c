"""What the operator's command line says; each option has an environment variable too."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from modelecology import __version__
from modelecology.jobs.code import code_digest, is_complete
from modelecology.kube.watchdog import EVERY_SECONDS


class CodeUnknown(Exception):
    """Raised when nobody says what code the jobs run, and it is not installed here either."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...]
    health_host: str
    health_port: int
    secrets: Path
    log_key_file: Path | None
    job_python: str
    job_image: str | None
    job_code: str | None
    workers: int
    json_logs: bool
    watchdog_seconds: float
    release_finalizers: bool


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="modelecology-operator", description="The Model Ecology operator.")
    env = os.environ.get
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--namespace",
        action="append",
        default=[n for n in (env("MODELECOLOGY_NAMESPACES") or "").split(",") if n],
        help="namespace to watch; may be repeated; all of them if it is left out",
    )
    parser.add_argument("--health-host", default=env("MODELECOLOGY_HEALTH_HOST", "0.0.0.0"))
    parser.add_argument("--health-port", type=int, default=int(env("MODELECOLOGY_HEALTH_PORT", "8080")))
    parser.add_argument(
        "--secrets",
        type=Path,
        default=Path(env("MODELECOLOGY_SECRETS", "/var/run/secrets/modelecology")),
        help="directory where Secrets are mounted, as NAMESPACE/NAME/KEY",
    )
    parser.add_argument(
        "--log-key-file",
        type=_path,
        default=env("MODELECOLOGY_LOG_KEY_FILE", ""),
        help="Ed25519 private key in PEM that signs what is sealed of decision logs; without it nothing is",
    )
    parser.add_argument(
        "--job-python", default=env("MODELECOLOGY_JOB_PYTHON", "python"), help="Python where the jobs run"
    )
    parser.add_argument(
        "--job-image",
        default=env("MODELECOLOGY_JOB_IMAGE") or None,
        help="workload image of KubeRay's jobs, for a Population that names none",
    )
    parser.add_argument(
        "--job-code",
        default=env("MODELECOLOGY_JOB_CODE") or None,
        help="digest of the code in that image, as `python -m modelecology.workloads code-digest` prints it "
        "there; computed if this Python has all that the jobs need",
    )
    parser.add_argument("--workers", type=int, default=int(env("MODELECOLOGY_WORKERS", "8")))
    parser.add_argument("--json-logs", action="store_true", default=env("MODELECOLOGY_JSON_LOGS") == "true")
    parser.add_argument(
        "--watchdog-seconds",
        type=float,
        default=float(env("MODELECOLOGY_WATCHDOG_SECONDS", str(EVERY_SECONDS))),
        help="how often the watches are compared with a list of everything",
    )
    parser.add_argument(
        "--release-finalizers",
        action="store_true",
        help="take the operator's finalizer off everything in those namespaces, and end: before an uninstall",
    )
    found = parser.parse_args(arguments)
    return Options(
        namespaces=tuple(found.namespace),
        health_host=found.health_host,
        health_port=found.health_port,
        secrets=found.secrets,
        log_key_file=found.log_key_file,
        job_python=found.job_python,
        job_image=found.job_image,
        job_code=found.job_code,
        workers=found.workers,
        json_logs=found.json_logs,
        watchdog_seconds=found.watchdog_seconds,
        release_finalizers=found.release_finalizers,
    )


def code_of_jobs(options: Options) -> str:
    """Give the digest of the code that the jobs run. Raises CodeUnknown."""
    if options.job_code is not None:
        return options.job_code
    if not is_complete():
        # A digest of what is not there would be in every key, and no job would accept it.
        raise CodeUnknown(
            "torch is not installed here, so the code of the jobs is not known. Give --job-code (or "
            "MODELECOLOGY_JOB_CODE): the workload image prints it by `python -m modelecology.workloads "
            "code-digest`."
        )
    return code_digest()

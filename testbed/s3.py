"""A real S3 server on this machine: versitygw over a folder, with keys made at random.

``with S3Server() as s3:`` gives ``s3.endpoint``, ``s3.uri("prefix")``, ``s3.credentials`` (a folder with the
two keys, as a mounted Secret has them) and ``s3.environment``, which is what a job is given. It listens on
loopback unless it is told another of this machine's addresses, and ends with the process that started it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from testbed.binaries import tool
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.servers import Server

KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET: Final = "AWS_SECRET_ACCESS_KEY"
REGION: Final = "us-east-1"
_HEALTH: Final = "/healthz"
_READY_SECONDS: Final = 30.0


class S3Server(Server):
    """One server with one bucket, which is empty at the start. What it has acknowledged outlives ``kill``."""

    title = "The S3 server"

    def __init__(self, bucket: str = "ecology", *, host: str = "127.0.0.1", progress: Progress = say) -> None:
        super().__init__(progress)
        self.bucket = bucket
        self.host = host
        self._port = 0
        self._program = Path()
        self._key_id = f"AKIA{secrets.token_hex(8).upper()}"
        self._secret = secrets.token_urlsafe(30)

    @property
    def endpoint(self) -> str:
        """The server's address; plain HTTP."""
        return f"http://{self.host}:{self._port}"

    @property
    def credentials(self) -> Path:
        """A folder with the files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
        return self.directory / "credentials"

    @property
    def secret(self) -> str:
        """The secret key, which must be found nowhere else."""
        return self._secret

    @property
    def objects(self) -> Path:
        """The bucket's folder: an object is a file there."""
        return self.directory / "data" / self.bucket

    @property
    def environment(self) -> Mapping[str, str]:
        """What a job is given in its environment to reach the bucket."""
        return {
            "MODELECOLOGY_S3_ENDPOINT": self.endpoint,
            "AWS_REGION": REGION,
            KEY_ID: self._key_id,
            SECRET: self._secret,
        }

    def uri(self, prefix: str = "") -> str:
        """The uri of a store in the bucket."""
        return f"s3://{self.bucket}/{prefix}".rstrip("/")

    def _prepare(self) -> None:
        self._program = tool("versitygw", self._progress)
        self.credentials.mkdir(mode=0o700)
        write_private_text(self.credentials / KEY_ID, self._key_id)
        write_private_text(self.credentials / SECRET, self._secret)
        self.objects.mkdir(parents=True)
        (self.directory / "metadata").mkdir()

    def _take_ports(self) -> None:
        (self._port,) = free_ports(1)

    def _serve(self) -> None:
        command = Command(
            name="s3",
            program=self._program,
            arguments=[
                f"--port={self.host}:{self._port}",
                f"--region={REGION}",
                f"--health={_HEALTH}",
                "--keep-alive",
                "--quiet",
                "posix",
                # Not every file system has extended attributes.
                f"--sidecar={self.directory / 'metadata'}",
                str(self.directory / "data"),
            ],
            # In the environment: a command line may be read by everybody.
            environment={"ROOT_ACCESS_KEY_ID": self._key_id, "ROOT_SECRET_ACCESS_KEY": self._secret},
        )
        self._launch(command, lambda: answers_plainly(self._port, _HEALTH, self.host), _READY_SECONDS)

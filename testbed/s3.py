"""A real S3 server on this machine: versitygw over a folder, with keys made at random.

``with S3Server() as s3:`` gives ``s3.endpoint``, ``s3.uri("prefix")``, ``s3.credentials`` (a folder with the
two keys, as a mounted Secret has them) and ``s3.environment``, which is what a job is given. It listens on
loopback unless it is told another of this machine's addresses, and ends with the process that started it.
"""

from __future__ import annotations

import http.client
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testbed.binaries import tool
from testbed.errors import AddressInUse, StartFailed
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.processes import Command, Process, free_ports, start

KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET: Final = "AWS_SECRET_ACCESS_KEY"
REGION: Final = "us-east-1"
_HEALTH: Final = "/healthz"
_READY_SECONDS: Final = 30.0
_START_TRIES: Final = 3


class S3Server:
    """One server with one bucket, which is empty at the start."""

    def __init__(
        self, bucket: str = "ecology", *, host: str = "127.0.0.1", port: int = 0, progress: Progress = say
    ) -> None:
        self.bucket = bucket
        self.host = host
        self._port = port
        self._progress = progress
        self._directory: Path | None = None
        self._process: Process | None = None
        self._key_id = f"AKIA{secrets.token_hex(8).upper()}"
        self._secret = secrets.token_urlsafe(30)

    @property
    def directory(self) -> Path:
        """The folder of the server's data, log and keys."""
        if self._directory is None:
            raise StartFailed("The S3 server is not started. Use it in a with block, or call start().")
        return self._directory

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the bucket and start the server. Raises StartFailed, GoUnavailable, BuildFailed."""
        program = tool("versitygw", self._progress)
        self._directory = Path(tempfile.mkdtemp(prefix="me-s3-"))
        self.credentials.mkdir(mode=0o700)
        write_private_text(self.credentials / KEY_ID, self._key_id)
        write_private_text(self.credentials / SECRET, self._secret)
        self.objects.mkdir(parents=True)
        (self.directory / "metadata").mkdir()
        given = self._port
        try:
            for tries_left in reversed(range(_START_TRIES)):
                try:
                    self._port = given or free_ports(1)[0]
                    self._start(program)
                except AddressInUse:
                    if tries_left == 0 or given:
                        raise
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """SIGKILL the server; what it has acknowledged stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def revive(self) -> None:
        """Start it again after ``kill``, at the same address with the same keys. Raises StartFailed."""
        self._start(tool("versitygw", self._progress))

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.kill()  # asked to end, it would first wait for clients that keep a connection open
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _start(self, program: Path) -> None:
        command = Command(
            name="s3",
            program=program,
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
        self._process = start(command, self.directory / "s3.log")
        self._process.wait_ready(self._answers, _READY_SECONDS)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self._port, timeout=5.0)
        try:
            connection.request("GET", _HEALTH)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

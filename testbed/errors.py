"""What can go wrong in the testbed; each message names the remedy.

ControlPlaneError
|-- BinariesIncomplete   KUBEBUILDER_ASSETS lacks a program
|-- GoUnavailable        no usable Go toolchain, and none could be installed
|-- BuildFailed          the Go build of a program failed
|-- StartFailed          a program ended or was not ready in time
|   `-- AddressInUse     another process took its port: start again on another one
|-- AlreadyRunning       the run directory belongs to a live run
|-- NotRunning           there is no such run
|-- ClusterNotGiven      KUBECONFIG was asked for, but is not set or not a file
|-- ClusterNotOwned      a fault was asked of a cluster that is not the testbed's
|-- ControllersAbsent    the run has no kube-controller-manager
`-- KubectlFailed        kubectl answered with an error
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ControlPlaneError(Exception):
    """Anything the testbed refuses or fails at."""

    reason: ClassVar[str] = "TestbedFailed"
    retry: ClassVar[bool] = False


class BinariesIncomplete(ControlPlaneError):
    """The folder that KUBEBUILDER_ASSETS names lacks a program."""

    reason = "BinariesIncomplete"


class GoUnavailable(ControlPlaneError):
    """No Go toolchain is new enough, and none could be installed."""

    reason = "GoUnavailable"
    retry = True


class BuildFailed(ControlPlaneError):
    """The Go build of a program failed."""

    reason = "BuildFailed"


class StartFailed(ControlPlaneError):
    """A program ended early or was not ready in time."""

    reason = "StartFailed"
    retry = True


class AddressInUse(StartFailed):
    """Another process holds the port that a program was given."""

    reason = "AddressInUse"


class AlreadyRunning(ControlPlaneError):
    """The run directory belongs to a run whose processes are alive."""

    reason = "AlreadyRunning"


class NotRunning(ControlPlaneError):
    """There is no run to act upon."""

    reason = "NotRunning"


class ClusterNotGiven(ControlPlaneError):
    """The caller's own cluster was asked for, but KUBECONFIG names none."""

    reason = "ClusterNotGiven"


class ClusterNotOwned(ControlPlaneError):
    """The testbed does not break a cluster that it did not start."""

    reason = "ClusterNotOwned"


class ControllersAbsent(ControlPlaneError):
    """The run has no kube-controller-manager."""

    reason = "ControllersAbsent"


class KubectlFailed(ControlPlaneError):
    """The kubectl command ended with an error; its standard error says why."""

    reason = "KubectlFailed"

    def __init__(self, arguments: Sequence[str], returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} ended with {returncode}: {stderr.strip()}")
        self.arguments = tuple(arguments)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

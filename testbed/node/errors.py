"""What can go wrong with the node; each message names the remedy."""

from __future__ import annotations

from testbed.errors import ControlPlaneError


class NodeUnsupported(ControlPlaneError):
    """This machine or this user cannot run a node; the message names what lacks."""

    reason = "NodeUnsupported"


class NodeProgramFailed(ControlPlaneError):
    """A program of the system that the node needs ended with an error."""

    reason = "NodeProgramFailed"


class LeftoversRemain(ControlPlaneError):
    """Something of a node could not be taken away: a mount or a process that does not end."""

    reason = "LeftoversRemain"
    retry = True

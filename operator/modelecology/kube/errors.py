"""What can go wrong with the Kubernetes API; every client error becomes one of these at one place."""

from __future__ import annotations

from modelecology.api.reasons import Reason


class KubeError(Exception):
    """The base: `retry` says whether the same call may go through later."""

    retry = True
    reason: Reason = Reason.INTERNAL_ERROR


class ApiUnavailable(KubeError):
    """The API server does not answer, or answers 5xx or 429."""


class Conflict(KubeError):
    """The object changed since it was read; read it again."""


class AlreadyExists(KubeError):
    """An object of this name is there already."""


class NotFound(KubeError):
    """There is no such object."""

    retry = False


class Refused(KubeError):
    """The API server refuses the request: not allowed, or not valid."""

    retry = False

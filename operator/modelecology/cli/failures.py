"""What the API server's failures mean to a person, and what to do about each."""

from __future__ import annotations

import json
from http import HTTPStatus

from kubernetes.client.exceptions import ApiException

from .port import ClusterError, NotFoundError


def explain_api_error(error: ApiException, what: str, namespace: str) -> ClusterError:
    """Turn an answer of the API server into a plain sentence with a remedy."""
    status = int(error.status or 0)
    said = _message(error)
    if status == HTTPStatus.UNAUTHORIZED:
        return ClusterError(
            "The API server does not accept your credentials (401).",
            "Log in again, or choose another context with --context.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return ClusterError(
            f"You may not {what} in namespace {namespace} (403): {said}",
            "Ask for the missing right, or choose another namespace with -n.",
        )
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(error, what, namespace)
    if status == HTTPStatus.GONE:
        return ClusterError(f"Cannot {what}: the list has moved on (410).", "Run it again.", retry=True)
    if (
        status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return ClusterError(f"Cannot {what} now ({status}): {said}", "Try again in a moment.", retry=True)
    return ClusterError(
        f"The API server refused to {what} ({status}): {said}", "Mend what the message names."
    )


def _not_found(error: ApiException, what: str, namespace: str) -> ClusterError:
    # A missing object is answered with a Status that names it; a missing kind with a bare 404.
    details = _body(error).get("details")
    if isinstance(details, dict) and details.get("name"):
        return NotFoundError(
            f"Cannot {what}: it does not exist in namespace {namespace}.",
            "Check the name with `kubectl get ecology`, or choose another namespace with -n.",
        )
    return NotFoundError(
        f"Cannot {what}: this cluster does not know the kinds of modelecology.io.",
        "Install the CRDs and the operator first, or choose another cluster with --context.",
    )


def explain_connection(error: Exception, server: str) -> ClusterError:
    """Turn a failure to reach the API server into a plain sentence with a remedy."""
    text = str(error)
    if "refused" in text:
        why = "the connection is refused"
    elif "CERTIFICATE_VERIFY_FAILED" in text or "certificate" in text.lower():
        return ClusterError(
            f"The certificate of the API server at {server} is not trusted.",
            "Check certificate-authority-data in your kubeconfig, or choose another context with --context.",
        )
    elif "timed out" in text.lower() or "timeout" in text.lower():
        why = "it does not answer in time"
    elif "resolve" in text or "Name or service" in text:
        why = "its host name is not known"
    else:
        why = type(error).__name__
    return ClusterError(
        f"The API server at {server} cannot be reached: {why}.",
        "Start the cluster, or choose another one with --context or --kubeconfig.",
        retry=True,
    )


def _body(error: ApiException) -> dict[str, object]:
    try:
        body = json.loads(error.body or "")
    except (TypeError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _message(error: ApiException) -> str:
    message = _body(error).get("message")
    return str(message) if message else str(error.reason or "no reason given")

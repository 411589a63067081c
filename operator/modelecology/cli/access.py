"""Who calls, and where: the caller's own kubeconfig, read as kubectl reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import KubeConfigMerger

from .port import ClusterError

_DEFAULT_KUBECONFIG = "~/.kube/config"
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Access:
    """Where to find the API server: what the user's options say; None leaves it to the kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The client's settings, the namespace, and the headers of an impersonation."""

    settings: client.Configuration
    namespace: str
    headers: dict[str, str] = field(default_factory=dict)


def read_identity(access: Access) -> Identity:
    """Read the caller's kubeconfig; a pod's own account serves only where there is none.

    Raises `ClusterError` when no configuration can be read.
    """
    settings = client.Configuration()
    # The CLI says what went wrong itself; the client's own three tries only make the user wait.
    settings.retries = False
    named = access.kubeconfig or os.environ.get("KUBECONFIG") or None
    path = named or str(Path(_DEFAULT_KUBECONFIG).expanduser())
    if named is None and access.context is None and not Path(path).exists():
        return Identity(settings, access.namespace or _in_cluster(settings))
    try:
        namespace, user = _from_kubeconfig(settings, path, access.context)
    # The client trips over text of another shape with whatever error comes first.
    except (
        ConfigException,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        yaml.YAMLError,
    ) as error:
        raise ClusterError(
            f"The kubeconfig {path} cannot be used: {error}",
            "Name one with --kubeconfig or KUBECONFIG, and one of its contexts with --context.",
        ) from error
    return Identity(settings, access.namespace or namespace, impersonation(user))


def _in_cluster(settings: client.Configuration) -> str:
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]  # no types
    except ConfigException as error:
        raise ClusterError(
            "There is no kubeconfig: KUBECONFIG is not set and ~/.kube/config does not exist.",
            "Name one with --kubeconfig, or set KUBECONFIG.",
        ) from error
    return _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()


def _from_kubeconfig(
    settings: client.Configuration, path: str, context: str | None
) -> tuple[str, dict[str, Any]]:
    contexts, current = config.list_kube_config_contexts(path)  # type: ignore[no-untyped-call]  # no types
    config.load_kube_config(  # type: ignore[no-untyped-call]  # no types
        config_file=path, context=context, client_configuration=settings, persist_config=False
    )
    chosen = next((c for c in contexts if c["name"] == context), current)["context"]
    users = KubeConfigMerger(path).config.value.get("users") or ()  # type: ignore[no-untyped-call]  # no types
    named = (entry.value for entry in users)
    user = next((u.get("user") or {} for u in named if u.get("name") == chosen.get("user")), {})
    return str(chosen.get("namespace") or "default"), dict(user)


def impersonation(user: dict[str, Any]) -> dict[str, str]:
    """Give the headers of a kubeconfig user's `as` and `as-groups`.

    The client passes them over, and would then act with wider rights than the kubeconfig says. Raises
    `ClusterError` for what one header cannot say.
    """
    # The API server adds this group by itself.
    groups = [g for g in user.get("as-groups") or () if g != "system:authenticated"]
    if len(groups) > 1 or user.get("as-user-extra") or user.get("as-uid"):
        raise ClusterError(
            "The kubeconfig's user sets several as-groups, as-uid or as-user-extra, which cannot be sent.",
            "Choose a context without them with --context.",
        )
    headers = {"Impersonate-User": str(user["as"])} if user.get("as") else {}
    return headers | ({"Impersonate-Group": str(groups[0])} if groups else {})

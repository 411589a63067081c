"""The port to the Kubernetes API, and its adapter over the official asynchronous client."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.rest import RESTClientObject

from modelecology.api.meta import API_VERSION, GROUP, VERSION

from .endpoint_slices import Behind, follow
from .errors import AlreadyExists, ApiUnavailable, Conflict, KubeError, NotFound, Refused

MANAGER = "modelecology"
_TIMEOUT_SECONDS = 20
# The API server closes what was idle for 90 s. The usual 15 s make most decisions begin with a handshake.
_IDLE_SECONDS = 75.0
Body = dict[str, Any]


class Kind(NamedTuple):
    """A kind of ours, as the API names it."""

    kind: str
    plural: str


POPULATION = Kind("Population", "populations")
SPECIALIST = Kind("Specialist", "specialists")
SUITE = Kind("EvaluationSuite", "evaluationsuites")
DECISION = Kind("Decision", "decisions")


class Cluster(Protocol):
    """What the operator asks of the Kubernetes API. Bodies are JSON here, and typed one step further in."""

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Body]:
        """List objects; None is every namespace. Raises KubeError."""

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create an object. Raises AlreadyExists and other KubeErrors."""

    async def patch(self, kind: Kind, namespace: str, name: str, body: Body, *, status: bool = False) -> Body:
        """Merge a patch into an object or its status. Raises Conflict, NotFound and other KubeErrors."""

    async def remove(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete an object of this uid; one that is gone is no error. Raises KubeError."""

    async def config_map(self, namespace: str, name: str) -> Body | None:
        """Read a ConfigMap; None where there is none. Raises KubeError."""

    async def create_config_map(self, namespace: str, body: Body) -> Body:
        """Create a ConfigMap. Raises AlreadyExists and other KubeErrors."""

    async def patch_config_map(self, namespace: str, name: str, body: Body) -> Body:
        """Merge a patch into a ConfigMap. Raises Conflict, NotFound and other KubeErrors."""

    async def follow_service(
        self,
        namespace: str,
        service: str,
        seen: Callable[[Behind], None],
        failed: Callable[[str], None],
    ) -> None:
        """Tell what is behind a Service, whenever that changes, or why it is not known; never returns."""

    async def post_event(self, kind: Kind, namespace: str, name: str, uid: str, event: EventText) -> None:
        """Post a Kubernetes Event about an object. Raises KubeError."""

    async def close(self) -> None:
        """Let go of all connections."""


class EventText(NamedTuple):
    """What an Event says."""

    warning: bool
    reason: str
    action: str
    message: str


def translate(error: Exception) -> KubeError:
    """Turn a client's error into one of ours; the only place that knows the client's errors."""
    if not isinstance(error, ApiException):
        return ApiUnavailable(f"the Kubernetes API does not answer: {error or type(error).__name__}")
    status = error.status or 0
    try:
        details = json.loads(error.body or "{}")
    except ValueError:
        details = {}
    message = str(details.get("message") or error.reason or "no message")
    if status == 409:
        return AlreadyExists(message) if details.get("reason") == "AlreadyExists" else Conflict(message)
    if status in (404, 410):
        return NotFound(message)
    if status == 429 or status >= 500 or status == 0:
        return ApiUnavailable(message)
    return Refused(message)


class _Connections(RESTClientObject):
    """The client's connections, kept open between requests that are minutes apart."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, keepalive_timeout=_IDLE_SECONDS)


def _client(settings: client.Configuration) -> client.ApiClient:
    api = client.ApiClient(settings)
    api.rest_client = _Connections(settings)
    return api


async def connected(kubeconfig: Path | None = None) -> client.ApiClient:
    """Make a client by the given kubeconfig, or as the pod's service account, else by the user's kubeconfig.

    Raises Refused.
    """
    settings = client.Configuration()
    # The client's own annotations are incomplete here.
    loader: Any = config
    if kubeconfig is not None:
        await loader.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)
        return _client(settings)
    try:
        loader.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        try:
            await loader.load_kube_config(client_configuration=settings)
        except config.ConfigException as error:
            raise Refused(f"neither a service account nor a usable kubeconfig: {error}") from error
    return _client(settings)


class ApiCluster:
    """The real Kubernetes API."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._custom = client.CustomObjectsApi(api)
        self._events = client.EventsV1Api(api)
        self._core = client.CoreV1Api(api)

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> ApiCluster:
        """Connect by the given kubeconfig, or as the pod's service account, else by the user's kubeconfig.

        Raises Refused.
        """
        return cls(await connected(kubeconfig))

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except (TimeoutError, ApiException, aiohttp.ClientError, OSError) as error:
            raise translate(error) from error

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Body]:
        """List objects in pages; None is every namespace. Raises KubeError."""
        items: list[Body] = []
        token = ""
        while True:
            options: dict[str, Any] = {
                "label_selector": labels,
                "limit": 500,
                "_continue": token,
                "_request_timeout": _TIMEOUT_SECONDS,
            }
            if namespace is None:
                call = self._custom.list_cluster_custom_object(GROUP, VERSION, kind.plural, **options)
            else:
                call = self._custom.list_namespaced_custom_object(
                    GROUP, VERSION, namespace, kind.plural, **options
                )
            page = await self._call(call)
            items.extend(page["items"])
            token = page["metadata"].get("continue") or ""
            if not token:
                return items

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create an object. Raises AlreadyExists and other KubeErrors."""
        full = {"apiVersion": API_VERSION, "kind": kind.kind, **body}
        created: Body = await self._call(
            self._custom.create_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                kind.plural,
                full,
                field_manager=MANAGER,
                _request_timeout=_TIMEOUT_SECONDS,
            )
        )
        return created

    async def patch(self, kind: Kind, namespace: str, name: str, body: Body, *, status: bool = False) -> Body:
        """Merge a patch into an object or its status. Raises Conflict, NotFound and other KubeErrors."""
        method = (
            self._custom.patch_namespaced_custom_object_status
            if status
            else self._custom.patch_namespaced_custom_object
        )
        patched: Body = await self._call(
            method(
                GROUP,
                VERSION,
                namespace,
                kind.plural,
                name,
                body,
                field_manager=MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=_TIMEOUT_SECONDS,
            )
        )
        return patched

    async def remove(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete an object of this uid; one that is gone is no error. Raises KubeError."""
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        try:
            await self._call(
                self._custom.delete_namespaced_custom_object(
                    GROUP, VERSION, namespace, kind.plural, name, body=body, _request_timeout=_TIMEOUT_SECONDS
                )
            )
        except NotFound:
            return

    async def config_map(self, namespace: str, name: str) -> Body | None:
        """Read a ConfigMap; None where there is none. Raises KubeError."""
        try:
            found = await self._call(
                self._core.read_namespaced_config_map(name, namespace, _request_timeout=_TIMEOUT_SECONDS)
            )
        except NotFound:
            return None
        return self._plain(found)

    async def create_config_map(self, namespace: str, body: Body) -> Body:
        """Create a ConfigMap. Raises AlreadyExists and other KubeErrors."""
        call: Any = self._core.create_namespaced_config_map
        return self._plain(
            await self._call(call(namespace, body, field_manager=MANAGER, _request_timeout=_TIMEOUT_SECONDS))
        )

    async def patch_config_map(self, namespace: str, name: str, body: Body) -> Body:
        """Merge a patch into a ConfigMap. Raises Conflict, NotFound and other KubeErrors."""
        call: Any = self._core.patch_namespaced_config_map
        return self._plain(
            await self._call(
                call(
                    name,
                    namespace,
                    body,
                    field_manager=MANAGER,
                    _content_type="application/merge-patch+json",
                    _request_timeout=_TIMEOUT_SECONDS,
                )
            )
        )

    def _plain(self, found: Any) -> Body:
        api: Any = self._api
        body: Body = api.sanitize_for_serialization(found)
        return body

    async def follow_service(
        self,
        namespace: str,
        service: str,
        seen: Callable[[Behind], None],
        failed: Callable[[str], None],
    ) -> None:
        """Tell what is behind a Service, whenever that changes, or why it is not known; never returns."""
        await follow(self._api, namespace, service, seen, failed)

    async def post_event(self, kind: Kind, namespace: str, name: str, uid: str, event: EventText) -> None:
        """Post a Kubernetes Event about an object. Raises KubeError."""
        body: Any = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name}-", "namespace": namespace},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "modelecology.io/operator",
            "reportingInstance": "modelecology-operator",
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason[:128],
            "action": event.action[:128],
            "note": event.message[:1024],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": kind.kind,
                "namespace": namespace,
                "name": name,
                "uid": uid,
            },
        }
        await self._call(
            self._events.create_namespaced_event(
                namespace, body, field_manager=MANAGER, _request_timeout=_TIMEOUT_SECONDS
            )
        )

    async def close(self) -> None:
        """Let go of all connections."""
        api: Any = self._api
        await api.close()

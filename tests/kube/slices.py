"""EndpointSlices by hand: a bare API server has no controller that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubernetes import client

from modelecology.kube.endpoint_slices import SERVICE_LABEL

Object = dict[str, Any]


def pod(address: str, *, ready: bool | None = True, terminating: bool | None = None) -> Object:
    """Write one entry of a slice."""
    conditions = {"ready": ready, "terminating": terminating}
    return {
        "addresses": [address],
        "conditions": {name: value for name, value in conditions.items() if value is not None},
    }


def put_slice(
    api: Any,
    namespace: str,
    name: str,
    pods: Sequence[Object],
    *,
    service: str = "engines",
    family: str = "IPv4",
) -> None:
    """Create or replace a slice."""
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {SERVICE_LABEL: service}},
        "addressType": family,
        "endpoints": list(pods),
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
    }
    slices: Any = client.DiscoveryV1Api(api)
    try:
        slices.create_namespaced_endpoint_slice(namespace, body)
    except client.ApiException as error:
        if error.status != 409:
            raise
        slices.replace_namespaced_endpoint_slice(name, namespace, body)


def delete_slice(api: Any, namespace: str, name: str) -> None:
    """Delete a slice."""
    slices: Any = client.DiscoveryV1Api(api)
    slices.delete_namespaced_endpoint_slice(name, namespace)

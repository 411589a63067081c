"""The command lines of the control plane's programs."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import Binaries
from testbed.keys import Keys
from testbed.processes import Command

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""
# What a control plane without nodes needs; the rest would only cost start-up time.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)


_SERVICES = ipaddress.IPv4Network("10.0.0.0/24")


@dataclass(frozen=True, slots=True)
class Network:
    """The address on which the API server listens, and the range from which Services get theirs."""

    address: str = "127.0.0.1"
    services: ipaddress.IPv4Network = _SERVICES

    @property
    def kubernetes_service(self) -> str:
        """The address of the Service ``kubernetes``: the first one of the range."""
        return str(self.services[1])


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports: the API server's on its address, the others on 127.0.0.1."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controllers: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a run."""

    root: Path

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfigs(self) -> Path:
        return self.root / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def data(self) -> Path:
        return self.root / "etcd"

    @property
    def audit_policy(self) -> Path:
        return self.root / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        return self.root / "logs" / "audit.log"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"


def etcd(binaries: Binaries, layout: Layout, keys: Keys, ports: Ports) -> Command:
    """One member, which need not survive a power cut: it does not wait for the disk."""
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    flags = {
        "name": "testbed",
        "data-dir": layout.data,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"testbed={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": keys.etcd_authority,
        "cert-file": keys.etcd.certificate,
        "key-file": keys.etcd.key,
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": keys.etcd_authority,
        "peer-cert-file": keys.etcd.certificate,
        "peer-key-file": keys.etcd.key,
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return Command("etcd", binaries.etcd, flag_arguments(flags))


def apiserver(
    binaries: Binaries,
    layout: Layout,
    keys: Keys,
    ports: Ports,
    network: Network,
    *,
    audit: bool,
    more: Mapping[str, object] | None = None,
) -> Command:
    """The API server with TLS, client certificates and RBAC; nobody is let in unnamed.

    ``more`` are flags that are added to these or take their place.
    """
    flags: dict[str, object] = {
        "bind-address": network.address,
        "advertise-address": network.address,
        "secure-port": ports.apiserver,
        # Without a node there are no pods that would need the `kubernetes` Service to lead here.
        "endpoint-reconciler-type": "none",
        "etcd-servers": f"https://127.0.0.1:{ports.etcd}",
        "etcd-cafile": keys.etcd_authority,
        "etcd-certfile": keys.etcd_client.certificate,
        "etcd-keyfile": keys.etcd_client.key,
        "tls-cert-file": keys.apiserver.certificate,
        "tls-private-key-file": keys.apiserver.key,
        "client-ca-file": keys.cluster.files.certificate,
        "anonymous-auth": "false",
        "authorization-mode": "RBAC",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": keys.service_accounts.certificate,
        "service-account-signing-key-file": keys.service_accounts.key,
        "service-cluster-ip-range": network.services,
        # Else a stop waits a minute for the clients that watch.
        "shutdown-watch-termination-grace-period": "1s",
    }
    if audit:
        flags |= {"audit-policy-file": layout.audit_policy, "audit-log-path": layout.audit_log}
    return Command("kube-apiserver", binaries.apiserver, flag_arguments(flags | dict(more or {})))


def controllers(
    program: Path, layout: Layout, keys: Keys, ports: Ports, names: Sequence[str] = CONTROLLERS
) -> Command:
    """The named controllers; if none are named, those that a cluster without nodes needs."""
    flags = {
        "kubeconfig": layout.kubeconfigs / "controllers",
        "bind-address": "127.0.0.1",
        "secure-port": ports.controllers,
        "tls-cert-file": keys.controllers.certificate,
        "tls-private-key-file": keys.controllers.key,
        "authentication-skip-lookup": "true",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": keys.service_accounts.key,
        "root-ca-file": keys.cluster.files.certificate,
        "controllers": ",".join(names),
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
    return Command("kube-controller-manager", program, flag_arguments(flags))


def flag_arguments(flags: Mapping[str, object]) -> tuple[str, ...]:
    """The flags as a program of Kubernetes takes them."""
    return tuple(f"--{name}={value}" for name, value in flags.items())

"""The command lines of the control plane's programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import Binaries
from testbed.keys import Keys
from testbed.processes import Command

SERVICE_RANGE = "10.0.0.0/24"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""
# What a control plane without nodes needs; the rest would only cost start-up time.
_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports on 127.0.0.1."""

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
    return Command("etcd", binaries.etcd, _arguments(flags))


def apiserver(binaries: Binaries, layout: Layout, keys: Keys, ports: Ports, *, audit: bool) -> Command:
    """The API server with TLS, client certificates and RBAC; nobody is let in unnamed."""
    flags: dict[str, object] = {
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": ports.apiserver,
        # There are no pods that would need the `kubernetes` Service to lead here.
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
        "service-cluster-ip-range": SERVICE_RANGE,
        # Else a stop waits a minute for the clients that watch.
        "shutdown-watch-termination-grace-period": "1s",
    }
    if audit:
        flags |= {"audit-policy-file": layout.audit_policy, "audit-log-path": layout.audit_log}
    return Command("kube-apiserver", binaries.apiserver, _arguments(flags))


def controllers(program: Path, layout: Layout, keys: Keys, ports: Ports) -> Command:
    """The controllers that a cluster without nodes needs."""
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
        "controllers": ",".join(_CONTROLLERS),
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
    return Command("kube-controller-manager", program, _arguments(flags))


def _arguments(flags: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())

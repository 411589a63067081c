"""All certificates and keys of one control plane, in one folder that only its owner may enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from testbed.pki import Authority, KeyPair, write_signing_key

ADMIN_USER = "modelecology-testbed-admin"
ADMIN_GROUP = "system:masters"
CONTROLLERS_USER = "system:kube-controller-manager"
_LOOPBACK = ("127.0.0.1", "localhost")
_SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The key pairs of each part.

    etcd has an authority of its own: a client certificate of the cluster must never open etcd, where no
    RBAC stands before the data.
    """

    cluster: Authority
    etcd_authority: Path
    etcd: KeyPair
    etcd_client: KeyPair
    apiserver: KeyPair
    controllers: KeyPair
    admin: KeyPair
    service_accounts: KeyPair

    @classmethod
    def create(cls, folder: Path, now: datetime, addresses: Sequence[str]) -> Keys:
        """Make all of them anew, valid for a year from ``now``; the API server is known by the addresses."""
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        cluster = Authority.create(folder, "cluster-ca", now)
        store = Authority.create(folder, "etcd-ca", now)
        return cls(
            cluster=cluster,
            etcd_authority=store.files.certificate,
            etcd=store.issue(folder, "etcd", now, user="etcd", hosts=_LOOPBACK),
            etcd_client=store.issue(folder, "etcd-client", now, user="kube-apiserver"),
            apiserver=cluster.issue(
                folder,
                "apiserver",
                now,
                user="kube-apiserver",
                hosts=dict.fromkeys((*_LOOPBACK, *_SERVICE_NAMES, *addresses)),
            ),
            controllers=cluster.issue(folder, "controllers", now, user=CONTROLLERS_USER, hosts=_LOOPBACK),
            admin=cluster.issue(folder, "admin", now, user=ADMIN_USER, groups=(ADMIN_GROUP,)),
            service_accounts=write_signing_key(folder, "service-accounts"),
        )

"""One start of a control plane: its files, keys and ports, and how to see that its parts are ready."""

from __future__ import annotations

from testbed.binaries import Binaries
from testbed.commands import Layout, Network, Ports
from testbed.keys import ADMIN_USER, CONTROLLERS_USER, Keys
from testbed.kubeconfig import write_kubeconfig
from testbed.probe import Probe

_FIRST_SERVICE_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


class Start:
    """What the parts of a control plane share from its start to its end."""

    def __init__(
        self, binaries: Binaries, layout: Layout, keys: Keys, ports: Ports, network: Network
    ) -> None:
        self.binaries = binaries
        self.layout = layout
        self.keys = keys
        self.ports = ports
        self.network = network
        self.endpoint = f"https://{network.address}:{ports.apiserver}"
        self._etcd = Probe(keys.etcd_authority, keys.etcd_client)
        self._cluster = Probe(keys.cluster.files.certificate, keys.admin)

    def write_kubeconfigs(self) -> None:
        """Write the administrator's kubeconfig and the controllers'."""
        authority = self.keys.cluster.files.certificate
        controllers = self.layout.kubeconfigs / "controllers"
        write_kubeconfig(self.layout.kubeconfig, self.endpoint, authority, ADMIN_USER, self.keys.admin)
        write_kubeconfig(controllers, self.endpoint, authority, CONTROLLERS_USER, self.keys.controllers)

    def etcd_is_ready(self) -> bool:
        """Whether etcd answers."""
        return self._etcd.answers(self.ports.etcd, "/health")

    def apiserver_answers(self, path: str) -> bool:
        """Whether the API server gives the administrator this page."""
        return self._cluster.answers(self.ports.apiserver, path, self.network.address)

    def apiserver_is_ready(self) -> bool:
        """Whether the API server says that it is ready."""
        return self.apiserver_answers("/readyz")

    def controllers_are_ready(self) -> bool:
        """Whether the controllers answer and have made the first service account."""
        return self.answers(self.ports.controllers, "/healthz") and self.apiserver_answers(
            _FIRST_SERVICE_ACCOUNT
        )

    def answers(self, port: int, path: str) -> bool:
        """Whether a part of the cluster that listens on 127.0.0.1 gives this page."""
        return self._cluster.answers(port, path)

"""A real Argo CD as processes of this machine, on an API server of the testbed.

``with ArgoCD(cluster, [Path("argocd-cm.yaml")]) as argocd:`` starts Redis, the repository server, the
application controller and the API server of Argo CD in a namespace of their own. ``argocd.run`` is its
command line, signed in as its administrator.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from testbed.binaries import module_dir, tool
from testbed.cluster import Cluster
from testbed.errors import ControlPlaneError, KubectlFailed, StartFailed
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.redis import redis_program, redis_settings
from testbed.servers import Server
from testbed.waiting import holds_within

DESTINATION: Final = "testbed"
"""The name by which an Application calls the cluster as its destination."""

_READY_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 60.0
_KINDS: Final = ("application", "appproject", "applicationset")
_SETTINGS: Final = ("argocd-cm", "argocd-rbac-cm", "argocd-secret", "argocd-cmd-params-cm")
_RIGHTS: Final = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {namespace}}}]
"""
_PROJECT: Final = """
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default}
spec:
  sourceRepos: ["*"]
  destinations: [{name: "*", namespace: "*", server: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
"""


class _Ports(NamedTuple):
    redis: int = 0
    repo_server: int = 0
    repo_server_metrics: int = 0
    controller_metrics: int = 0
    server: int = 0
    server_metrics: int = 0


class ArgoCDFailed(ControlPlaneError):
    """A command of Argo CD ended with an error; its standard error says why."""

    reason = "ArgoCDFailed"


class ArgoCD(Server):
    """Argo CD on a cluster; ``settings`` are laid over its ConfigMaps as `kubectl apply --server-side` does.

    Its namespace and its rights go with its block.
    """

    title = "Argo CD"

    def __init__(self, cluster: Cluster, settings: Sequence[Path] = (), *, progress: Progress = say) -> None:
        super().__init__(progress)
        self._cluster = cluster
        self._settings = settings
        self._ports = _Ports()
        self._program = Path()
        self.namespace = ""

    @property
    def user(self) -> str:
        """The name under which the API server knows it."""
        return self.namespace

    def stop(self) -> None:
        """End the processes, and take its namespace and rights out of the cluster."""
        self._end()
        if self.namespace:
            self._cluster.delete_namespace(self.namespace)
            self._cluster.kubectl("delete", "clusterrolebinding", self.namespace, "--ignore-not-found")
            self.namespace = ""
        super().stop()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace of Argo CD, as the cluster's administrator."""
        return self._cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def run(self, *arguments: str) -> str:
        """Run a command of Argo CD against its API server; gives the standard output. Raises ArgoCDFailed."""
        return run_argocd(*arguments, "--config", str(self.directory / "login"))

    def log(self, part: str) -> str:
        """What a part has written: redis, repo-server, application-controller or server."""
        return (self.directory / f"{part}.log").read_text(encoding="utf-8", errors="replace")

    def _prepare(self) -> None:
        self._program = tool("argocd", self._progress)
        sources = module_dir("argocd", self._progress)
        if not self._knows_kinds():
            kinds = (f"--filename={sources / 'manifests' / 'crds' / f'{kind}-crd.yaml'}" for kind in _KINDS)
            self._cluster.kubectl("apply", "--server-side", *kinds)
            if not holds_within(self._knows_kinds, _READY_SECONDS):
                raise StartFailed(f"The API server does not serve {', '.join(_KINDS)}.")
        self.namespace = self._cluster.create_namespace("argocd")
        self._cluster.kubectl("apply", "-f", "-", stdin=_RIGHTS.format(namespace=self.namespace))
        base = sources / "manifests" / "base" / "config"
        own = ("apply", "--server-side", "--field-manager=argocd-install")
        self.kubectl(*own, *(f"--filename={base / name}.yaml" for name in _SETTINGS))
        for path in self._settings:
            self.kubectl("apply", "--server-side", f"--filename={path}")
        self.kubectl("apply", "-f", "-", stdin=_PROJECT)
        self.kubectl("apply", "-f", "-", stdin=json.dumps(self._destination()))

    def _knows_kinds(self) -> bool:
        try:
            self._cluster.kubectl(
                "get", ",".join(f"{kind}s.argoproj.io" for kind in _KINDS), "--all-namespaces"
            )
        except KubectlFailed:
            return False
        return True

    def _destination(self) -> dict[str, Any]:
        """Give the Secret that tells Argo CD of the cluster: it is in no pod, so it knows of none."""
        path = self._cluster.kubeconfig_for(self.user)
        context = ("config", "view", "--raw", "--minify", "--flatten", "--output=json")
        document = json.loads(self._cluster.kubectl(*context, kubeconfig=path))
        (user,) = (each["user"] for each in document["users"])
        (cluster,) = (each["cluster"] for each in document["clusters"])
        tls = {
            "caData": cluster["certificate-authority-data"],
            "certData": user["client-certificate-data"],
            "keyData": user["client-key-data"],
        }
        for each in document["contexts"]:
            each["context"]["namespace"] = self.namespace
        write_private_text(self.directory / "kubeconfig", yaml.safe_dump(document))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": DESTINATION,
                "labels": {"argocd.argoproj.io/secret-type": "cluster"},
            },
            "stringData": {
                "name": DESTINATION,
                "server": cluster["server"],
                "config": json.dumps({"tlsClientConfig": tls}),
            },
        }

    def _take_ports(self) -> None:
        self._ports = _Ports(*free_ports(len(_Ports._fields)))

    def _serve(self) -> None:
        ports = self._ports
        password = secrets.token_hex(32)
        redis = self.directory / "redis.conf"
        write_private_text(redis, redis_settings(self.directory, ports.redis, password))
        program = redis_program(self.directory, self._progress)
        self._launch(Command("redis", program, [str(redis)]), lambda: True, _READY_SECONDS)
        shared = {"redis": f"127.0.0.1:{ports.redis}"}
        repository = {"repo-server": f"127.0.0.1:{ports.repo_server}", "repo-server-plaintext": "true"}
        cluster = {"kubeconfig": str(self.directory / "kubeconfig"), "namespace": self.namespace}
        environment = self._environment(password)
        self._start_role(
            "repo-server",
            {
                **shared,
                "address": "127.0.0.1",
                "port": str(ports.repo_server),
                "metrics-address": "127.0.0.1",
                "metrics-port": str(ports.repo_server_metrics),
                "disable-tls": "true",
            },
            environment,
            ports.repo_server_metrics,
        )
        self._start_role(
            "application-controller",
            # It serves its metrics on all addresses, whatever it is told.
            {**shared, **repository, **cluster, "metrics-port": str(ports.controller_metrics)},
            environment,
            ports.controller_metrics,
        )
        self._start_role(
            "server",
            {
                **shared,
                **repository,
                **cluster,
                "address": "127.0.0.1",
                "port": str(ports.server),
                "metrics-address": "127.0.0.1",
                "metrics-port": str(ports.server_metrics),
                "insecure": "true",
            },
            environment,
            ports.server,
        )
        self._sign_in()

    def _environment(self, redis_password: str) -> Mapping[str, str]:
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "TMPDIR": str(home),
            "REDIS_PASSWORD": redis_password,
            # One controller is the only shard, whatever this machine is called.
            "ARGOCD_CONTROLLER_SHARD": "0",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(home),
            "ARGOCD_SSH_DATA_PATH": str(home),
            "ARGOCD_PLUGINSOCKFILEPATH": str(home),
        }

    def _start_role(
        self, role: str, options: Mapping[str, str], environment: Mapping[str, str], health_port: int
    ) -> None:
        arguments = [f"--{name}={value}" for name, value in options.items()]
        # The program's role is the name by which it is called.
        program = self.directory / f"argocd-{role}"
        if not program.exists():
            program.symlink_to(self._program)
        command = Command(role, program, arguments, environment)
        self._launch(command, lambda: answers_plainly(health_port, "/healthz"), _READY_SECONDS)

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.stop(_GRACE_SECONDS)
        self._processes.clear()

    def _sign_in(self) -> None:
        made = self.kubectl("get", "secret", "argocd-initial-admin-secret", "--output=json")
        password = base64.b64decode(json.loads(made)["data"]["password"]).decode()
        server = f"127.0.0.1:{self._ports.server}"
        self.run("login", server, "--plaintext", "--username=admin", f"--password={password}")


def run_argocd(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run Argo CD's command line; gives the standard output. Raises ArgoCDFailed."""
    done = subprocess.run(
        [str(tool("argocd")), *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ArgoCDFailed(
            f"argocd {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout

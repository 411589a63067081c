"""Names the Go modules that testbed/go pins: their programs, their versions and how these are linked."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed.errors import BuildFailed
from testbed.places import GO_MODULES

_KUBERNETES_VERSION = tuple(
    f"{package}.{setting}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for setting in (
        "gitVersion={version}",
        "gitMajor={major}",
        "gitMinor={minor}",
        "gitTreeState=clean",
    )
)
# Without these, Helm takes charts to be for Kubernetes 1.20 wherever it asks no cluster.
_HELM_KUBERNETES = tuple(
    f"helm.sh/helm/v3/{package}.{setting}"
    for package in ("pkg/chartutil", "pkg/lint/rules")
    for setting in ("k8sVersionMajor=1", "k8sVersionMinor={minor}")
)


@dataclass(frozen=True, slots=True)
class Module:
    """A folder of testbed/go: its name, the Go module whose programs it pins, and what is written into them.

    ``stamps`` maps a required Go module to linker settings that name its ``{version}``, which is
    ``v{number}``, or its ``{major}`` or ``{minor}``.
    """

    name: str
    source: str
    packages: Mapping[str, str]
    stamps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where Go is run for it."""
        return GO_MODULES / self.name

    @property
    def go_mod(self) -> Path:
        """Pins the versions."""
        return self.folder / "go.mod"

    @property
    def go_sum(self) -> Path:
        """Pins the contents."""
        return self.folder / "go.sum"


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the module it is built from, and its Go package."""

    name: str
    module: Module
    package: str


MODULES = (
    Module("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kubectl",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
            )
        },
        {"k8s.io/kubernetes": _KUBERNETES_VERSION},
    ),
    Module("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"}),
    Module(
        "kuberay",
        "github.com/ray-project/kuberay/ray-operator",
        {"kuberay-operator": "github.com/ray-project/kuberay/ray-operator"},
    ),
    Module(
        "helm",
        "helm.sh/helm/v3",
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        {
            "helm.sh/helm/v3": ("helm.sh/helm/v3/internal/version.version={version}",),
            "k8s.io/client-go": _HELM_KUBERNETES,
        },
    ),
    Module(
        "helm-unittest",
        "github.com/helm-unittest/helm-unittest",
        {"helm-unittest": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"},
        {
            "github.com/helm-unittest/helm-unittest": (
                "github.com/helm-unittest/helm-unittest/internal/build.version={number}",
            )
        },
    ),
    Module(
        "kubeconform",
        "github.com/yannh/kubeconform",
        {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
        {"github.com/yannh/kubeconform": ("main.version={version}",)},
    ),
    Module(
        "versitygw",
        "github.com/versity/versitygw",
        {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        {"github.com/versity/versitygw": ("main.Version={version}",)},
    ),
    Module(
        "argocd",
        "github.com/argoproj/argo-cd/v3",
        {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
        {"github.com/argoproj/argo-cd/v3": ("github.com/argoproj/argo-cd/v3/common.version={number}",)},
    ),
)
PROGRAMS = {
    name: Program(name, module, package) for module in MODULES for name, package in module.packages.items()
}


def pinned_version(module: Module, source: str | None = None) -> str:
    """The version of the module's source, or of another required Go module, such as ``v1.34.4``."""
    wanted = source or module.source
    match = re.search(
        rf"^\s*(?:require )?{re.escape(wanted)} (v\S+)", module.go_mod.read_text(), flags=re.MULTILINE
    )
    if match is None:
        raise BuildFailed(f"testbed/go/{module.name}/go.mod does not require {wanted}. Restore the line.")
    return match.group(1)


def linker_flags(module: Module) -> list[str]:
    """What Go's linker is told: no symbol tables, and the versions the programs are to print."""
    flags = ["-s", "-w"]
    for source, settings in module.stamps.items():
        version = pinned_version(module, source)
        number = version.removeprefix("v")
        major, minor = number.split(".")[:2]
        flags += [
            f"-X={setting.format(version=version, number=number, major=major, minor=minor)}"
            for setting in settings
        ]
    return flags


def cache_key(go_version: str, module: Module) -> str:
    """Names everything a built program depends on: sums, Go, machine, and how it is linked."""
    parts = [go_version, platform.system(), platform.machine(), *linker_flags(module)]
    parts += [path.read_text() for path in (module.go_mod, module.go_sum)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
